//! The till.

use super::words;

words! {
    till: "Till", "收银台";
    till_scan: "Scan or type what is shown", "扫描或输入会员出示的码";
    till_code: "Voucher or pass", "券码或会员码";
    till_code_what: "A voucher's code, or the pass of a member's app.", "券码，或会员应用中的会员码。";
    till_bill: "Bill", "账单金额";
    till_bill_what: "Before the voucher, such as 328.00. For a coupon.", "使用券之前的金额，例如 328.00，仅优惠券需要。";
    till_look: "Look", "查看";
    till_where: "Where this till is", "收银台位置";
    till_where_what: "Remembered in this browser, and written to every redemption.", "保存在此浏览器中，并记入每次核销。";
    till_store: "Store", "门店";
    till_number: "Till number", "收银台编号";
    till_remember: "Remember", "保存";
    till_here(store, till): "{store} · till {till}", "{store} · {till} 号台";
    till_change: "Other store or till", "更换门店或收银台";
    till_good: "Good", "可使用";
    till_not_good: "Not good", "不可使用";
    till_members_of(brand): "For members of {brand}", "适用于{brand}会员";
    till_takes_off: "Comes off the bill", "减免";
    till_to_pay: "To pay", "应付";
    till_cash: "To pay for the voucher itself", "券自付金额";
    till_bill_again: "See what comes off", "计算减免";
    till_receipt: "Receipt number", "小票号";
    till_receipt_what: "If there is one. Vouchers that do not go together are found by it.", "如有。用于识别不可叠加的券。";
    till_redeem: "Redeem", "核销";
    till_next: "Next customer", "下一位";
    till_redeemed: "Redeemed", "已核销";
    till_taken_back: "Taken back", "已冲回";
    till_refused: "Not redeemed", "未核销";
    till_redemption: "Redemption", "核销号";
    till_at: "Where", "地点";
    till_used_at(when, place): "It was used on {when} at {place}.", "已于{when}在{place}使用。";
    till_used_as(id): "Redemption {id}", "核销号 {id}";
    till_take_back: "Take back", "冲回";
    till_take_back_title: "Was it a mistake?", "操作有误？";
    till_take_back_what: "The voucher has its use again, and nothing is settled for it.", "券恢复可用，不参与结算。";
    till_reason: "Why", "原因";
    till_not_yours: "Somebody else has redeemed it. They take it back themselves, or your brand's engineers do through the API.",
        "该核销由他人完成，请由本人冲回，或由贵方技术人员通过接口冲回。";
    till_too_late: "It is more than 30 days old and stays as it is.", "核销已超过 30 天，不能再冲回。";
    till_member: "Member", "会员";
    till_member_what: "This is what the member has agreed to share with you, and nothing else.", "以下仅为会员同意与您共享的信息。";
    till_brand: "Member of", "所属品牌";
    till_tier: "Tier", "等级";
    till_recognised: "Recognised here as", "在本品牌视同";
    till_identity: "Identity", "身份标识";
    till_birth_month: "Month of birth", "生日月份";
    till_member_since: "Member since", "入会日期";
    till_tags: "Tags", "标签";
    till_nothing_shared: "Nothing more is shared.", "无其他共享信息。";
    till_unknown: "Neither a voucher of yours nor a pass", "既不是本品牌的券，也不是会员码";
    till_unknown_why: "Look whether it is typed as shown. A pass is good for two minutes: have a new one shown. Another brand's voucher is redeemed there.",
        "请核对输入。会员码两分钟内有效，过期请会员重新出示。其他品牌的券请到该品牌使用。";
}
