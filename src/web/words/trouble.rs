//! What is said when something does not work: what happened, and what to do.

use super::words;
use crate::domain::benefit::Unmet;
use crate::web::lang::Lang;

words! {
    go_on: "Back", "返回";
    did_not_work: "That did not work", "未能完成";
    opening_over: "This address is over", "链接已失效";
    opening_over_why: "It can be opened once, within a minute. Open the page again from the app you came from.",
        "链接一分钟内有效，且只能打开一次。请从您来时的应用重新进入。";
    session_over: "Your page has closed", "页面已关闭";
    session_over_why: "For your safety it closes after a while. Open it again from the app you came from.",
        "为了您的安全，页面会在一段时间后关闭。请从您来时的应用重新进入。";
    form_refused: "This form is not one of this page's", "表单来源不符";
    form_refused_why: "Nothing was done. Go back, load the page anew and try again.", "没有执行任何操作。请返回并刷新页面后重试。";
    not_allowed: "The app you came from does not allow this here", "来源应用未开放此操作";
    not_allowed_why: "Nothing was done. Please ask the brand whose app it is.", "没有执行任何操作。请联系该品牌。";
    sign_in_first: "Please sign in", "请先登录";
    sign_in_first_why: "You are not signed in, or your session is over.", "您尚未登录，或登录已过期。";
    not_your_role: "Your role may not do this", "您的角色无此权限";
    not_your_role_why: "Nothing was done. Somebody who manages staff here can give you another role.", "没有执行任何操作。员工管理员可为您调整角色。";
    too_new: "Your word does not count here yet", "您暂不能参与双人确认";
    too_new_why: "Nothing was done. Whoever was added or reset on a page is not one of two who say the same, and does not say what is paid, for seven days: whoever did it could be sitting at both places.",
        "没有执行任何操作。经页面添加或重置的登录在七天内不能参与双人确认，也不能确认付款，以防同一人两头操作。";
    too_new_here: "Whoever was added or reset on a page is not one of two who say the same, and does not say what is paid, for seven days: whoever did it could be sitting at both places.",
        "经页面添加或重置的登录在七天内不能参与双人确认，也不能确认付款，以防同一人两头操作。";
    enrolment_over_why: "It can be used once, within a day, and a code is asked for within a quarter of an hour. If it was not you who used it, tell whoever gave it to you, and ask for another.",
        "链接一天内有效且只能使用一次，设置密码后须在一刻钟内输入验证码。如不是您本人使用，请立即告知给您链接的人，并索取新链接。";
    why_operator_login_unfit: "An operator's login begins with a letter and has no @.", "运营方的登录名须以字母开头，且不含 @。";
    why_operator_clerk_unfit: "The operator has no till: a clerk works for a brand.", "运营方没有收银台：店员只属于品牌。";
    why_role_unfit: "Please choose one of the roles.", "请选择一个角色。";
    why_login_taken: "Somebody has this login already.", "该登录名已被使用。";
    why_login_unfit: "A login is 3 to 64 of a–z, 0–9, dot, underscore, hyphen and @.", "登录名为 3 至 64 个字符：a–z、0–9、点、下划线、连字符或 @。";
    why_password_unfit: "A password has 12 to 128 characters, is not the login and not one that everybody uses.",
        "密码为 12 至 128 个字符，不能与登录名相同，也不能是常用密码。";
    why_oneself: "Nobody changes or removes oneself: ask somebody else who manages staff.", "不能更改或移除自己，请由其他管理员操作。";
    why_not_found: "There is no such thing, or it is not yours.", "内容不存在，或不属于您。";
    why_quote_used: "This offer has been used already. Look at your history before you ask again.", "该报价已使用。请先查看记录，再重新询价。";
    why_quote_invalid: "This offer cannot be used. Please ask again.", "该报价无效，请重新询价。";
    why_quote_expired: "This offer has run out: nothing was converted. Please ask again.", "报价已过期，积分未变动。请重新询价。";
    why_partner_suspended: "This brand takes no conversions at the moment.", "该品牌暂停转换服务。";
    why_membership_closed: "One of the memberships is closed.", "其中一个会员账户已注销。";
    why_membership_frozen: "One of the memberships is frozen. Please ask its brand.", "其中一个会员账户已冻结，请联系该品牌。";
    why_member_not_linked: "You are not linked to this brand yet.", "您尚未关联该品牌。";
    why_link_cooling_off: "The link is new and opens in a few days.", "关联刚建立，冷静期过后即可使用。";
    why_no_rate: "There is no rate for this direction at the moment.", "该方向目前没有汇率。";
    why_rate_worse: "The rate has changed and you would get less. Nothing was converted.", "汇率已变，您所得会减少。积分未变动。";
    why_below_minimum: "This is less than the smallest conversion.", "低于最低转换数量。";
    why_above_maximum: "This is more than the largest conversion.", "超过单次转换上限。";
    why_not_a_multiple(below, above): "No conversion gives exactly this. The nearest are {below} and {above}.", "无法恰好得到这个数量，最接近的是 {below} 和 {above}。";
    why_not_a_multiple_above(above): "No conversion gives exactly this. The nearest is {above}.", "无法恰好得到这个数量，最接近的是 {above}。";
    why_points_owed: "You owe points after a returned purchase. They are met by what you earn next; then you can convert.",
        "因退货您尚欠积分，后续所得将先行抵扣，抵清后即可转换。";
    why_insufficient_points: "You have not enough points for this.", "积分不足。";
    why_limit_exceeded(points): "This is above your limit. Left of it: {points}.", "超过限额，剩余额度 {points}。";
    why_limit: "This is above your limit.", "超过限额。";
    why_exposure_exceeded: "The two brands have reached what they agreed to convert for now. Try less, or later.",
        "两个品牌约定的转换额度已满。请减少数量或稍后再试。";
    why_undo_window_closed: "The time to undo is over, or it was undone already.", "撤销时间已过，或已撤销。";
    why_points_spent: "The points that arrived have been spent, so it cannot be undone.", "到账积分已被使用，无法撤销。";
    why_not_eligible: "This benefit is not for this membership.", "该权益不适用于您的会员。";
    why_sold_out: "None is left.", "已领完。";
    why_already_claimed: "You have had as many as one person may.", "您的领取次数已达上限。";
    why_voucher_used: "This voucher has been used.", "该券已使用。";
    why_voucher_expired: "This voucher has expired.", "该券已过期。";
    why_voucher_cancelled: "This voucher has been given back.", "该券已退回。";
    why_voucher_not_issued: "This voucher is reserved, and not issued yet.", "该券尚未发放。";
    why_not_today: "It is not good on this day.", "今日不可使用。";
    why_not_stackable: "This bill has a voucher already, and one of the two does not go with others.", "该账单已使用其他券，不可叠加。";
    why_below_threshold: "The bill is below what this voucher asks for.", "账单金额未达到使用门槛。";
    why_reversal_exceeds: "It has been taken back already, or is too old to be.", "已冲回，或已超过可冲回期限。";
    why_sent_otherwise: "This form was sent before with something else in it. Begin anew.", "该表单此前以不同内容提交过，请重新开始。";
    why_stale: "It has moved on meanwhile: look how it stands now.", "状态已变化，请查看最新情况。";
    why_bill_unfit: "Please look at the bill: an amount such as 328.00.", "请检查账单金额，例如 328.00。";
    why_reason_unfit: "Please say why, in 1 to 500 characters on one line.", "请填写原因，1 至 500 个字符，不换行。";
    why_outcome_unfit: "This outcome cannot be said of the state it is in. Nothing was done.", "当前状态不能作出该结论，未执行任何操作。";
    why_text_unfit: "Please use 1 to 128 characters on one line.", "请填写 1 至 128 个字符，不换行。";
    why_invalid: "Please look at what you typed: a whole number of points, at least 1.", "请检查输入：应为不小于 1 的整数。";
    why_busy: "It is busy just now and nothing is lost. If you confirmed something, look at your history before you try again.",
        "系统繁忙，您的积分没有损失。如已确认操作，请先查看记录再重试。";
    why_rate_limited: "Too many requests in a short time. Please wait a moment.", "操作过于频繁，请稍候。";
    why_malformed: "The request could not be read.", "请求无法识别。";
    why_internal: "Something went wrong here, and it has been written down. Nothing is lost.", "系统出错，已记录。您的积分没有损失。";
}

impl Lang {
    /// Why a benefit is not for this member.
    pub fn unmet(self, unmet: Unmet) -> &'static str {
        let (en, zh) = match unmet {
            Unmet::Closed => ("It is not offered any more.", "该权益已下架。"),
            Unmet::NotYet => ("It cannot be claimed yet.", "尚未开始领取。"),
            Unmet::Over => ("The time to claim it is over.", "领取时间已过。"),
            Unmet::Brand => ("It is not for members of this brand.", "不适用于本品牌会员。"),
            Unmet::Tier => ("It is for a higher tier.", "需要更高的会员等级。"),
            Unmet::Tag => ("It is for chosen members.", "仅限受邀会员。"),
            Unmet::Link => (
                "Link to the brand that gives it first, or wait until the link is older.",
                "请先关联提供品牌，或等待关联满足时长。",
            ),
            Unmet::Birthday => ("It is for the month of your birthday.", "仅限生日当月。"),
        };
        self.pick(en, zh)
    }
}
