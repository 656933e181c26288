//! A partner's console: rates, proposals, conversions, exposures, benefits, webhooks, keys.

use super::words;
use crate::domain::proposal::State;
use crate::web::lang::Lang;

words! {
    rates: "Rates and agreements", "汇率与协议";
    no_rates: "Nothing is published for it.", "暂无已发布内容。";
    operator: "the operator", "运营方";
    any_tier: "any", "任意";
    terms: "Terms", "条款";
    begins_when: "From", "自";
    ends_when: "Until", "至";
    coming: "Coming", "即将生效";
    in_force: "In force", "生效中";
    rate_terms(ratio, step, minimum): "{ratio} in steps of {step}, from {minimum}", "{ratio}，步长 {step}，起换 {minimum}";
    bonus_by(percent, funder): "+{percent} by {funder}", "+{percent}，由{funder}承担";
    agreement_since(when): "Agreement in force since {when}", "{when}起生效的协议";
    agreement_from(when): "Agreement from {when} on", "将于{when}生效的协议";
    settlement_price: "Settlement price of a point", "每积分结算价";
    fee_by(amount, payer): "{amount} by {payer}", "{amount}，由{payer}承担";
    notice: "Notice", "通知期";
    no_limit: "no limit", "不限";
    exposure_limit: "Stop line", "敞口上限";
    reversal_needs_confirmation: "A reversal needs the other side's yes", "冲回须对方确认";
    renews_on_arrival: "Points get a new end on arrival", "到账积分重新计算有效期";
    target_pays_spent: "The target pays for spent points", "已用积分由转入方承担";
    dispute_days: "Days to dispute", "争议期";
    yes: "yes", "是";
    no_word: "no", "否";

    proposals: "Proposals", "变更提案";
    no_proposals: "Nothing is proposed.", "暂无提案。";
    proposed_at: "Proposed", "提出时间";
    signatures: "Signatures", "签名数";
    still_to_sign: "Still to sign", "待签名";
    what_changes: "What changes", "变更内容";
    before: "Before", "变更前";
    after: "After", "变更后";
    going_round: "Going round", "循环检查";
    going_round_what: "Whoever converts from brand to brand and back must never come home with more points than they left with. If this proposal alone were published:",
        "会员在各品牌间循环转换后，积分不得多于转出时。若仅发布本提案：";
    no_loops: "No way round gives more than it takes.", "任何循环均不会多得。";
    loops_refuse: "These ways round would make points: it is not published as it is.", "以下循环会凭空产生积分，将不予发布：";
    loops_by_waiting: "These pay for whoever waits from one period for the next: a warning.", "以下循环在跨期等待时可获利，仅作提示：";
    loop_gives(way, excess, from): "{way} gives {excess} more, from {from}", "{way}：自{from}起多得 {excess}";
    notice_runs(when): "It is a cut, and its notice runs until {when}: it is checked again when it is published.", "属于下调，通知期至{when}，发布时再次检查。";
    not_checked: "It waits for another proposal, or is closed: it is checked when it is published.", "等待其他提案或已结束，发布时检查。";
    proposal_bytes: "What is signed", "签名内容";
    proposal_bytes_what: "Exactly these bytes (RFC 8785) are the payload of a signature. They name the proposal and the alliance, so that it is good for nothing else.",
        "签名载荷即以下字节（RFC 8785），其中注明提案与联盟，不可作他用。";
    sign_how: "Sign it where your key is", "在密钥所在处签名";
    sign_how_what: "The private key never comes here. Save the text above as change.json without a line's end, run this beside key.pem (Ed25519), and paste what it prints.",
        "私钥绝不上传。将以上文本保存为 change.json（末尾无换行），在 key.pem（Ed25519）旁运行以下命令，并粘贴其输出。";
    your_kid: "the thumbprint of your registered key", "已登记密钥的指纹";
    signature: "Signature (JWS)", "签名（JWS）";
    approve: "Approve", "批准";
    no_approval(why): "Nothing was approved. {why}", "未批准。{why}";

    conversions: "Conversions", "转换";
    find_conversion: "Find one", "查询";
    find_by: "Id, confirmation number or your own reference", "编号、确认号或贵方参考号";
    find: "Find", "查询";
    found_nothing: "There is no such conversion of yours.", "未找到贵方的该笔转换。";
    state_given_back: "Not carried out", "未成功";
    debited: "Given", "转出";
    credited: "Received at the rate", "按汇率得到";
    bonus: "Bonus", "加赠";
    bonus_of(points, campaign, funder): "{points}, {campaign}, by {funder}", "{points}，{campaign}，由{funder}承担";
    credited_in_all: "Received in all", "合计得到";
    rate_version(rate, version): "{rate}, version {version}", "{rate}，版本 {version}";
    member_id: "Membership", "会员账户";
    counterpart: "The other side's token", "对方标识";
    completed_at: "Completed", "完成时间";
    reference: "Reference", "参考号";
    taken_back_of_it: "Taken back of it", "冲回记录";
    asked_by: "Asked by", "发起方";
    taken_back_there: "Taken back", "扣回";
    given_back_here: "Given back", "退回";

    exposures: "Exposure", "敞口";
    exposure_net: "Net, by partner", "各品牌净敞口";
    exposure_net_what: "What it would pay if everything not settled were netted now; negative when it would be paid.", "按当前未结算项目轧差后的应付净额，负数为应收。";
    exposure_gross: "Gross, by direction", "各方向总敞口";
    exposure_gross_what: "The value of the lines of one direction that are not settled. At its stop line a direction takes no more.", "该方向未结算明细总额，触及上限后暂停转换。";
    used_of_it: "Used", "已用";
    within_limit: "Within", "额度内";
    near_limit: "80 % or more", "达到 80%";
    at_limit: "Reached", "已触及上限";

    quota: "Quota", "总量";
    taken: "Taken", "已领";
    left: "Left", "剩余";
    pool: "Codes", "券码池";
    of_codes(left, all): "{left} of {all} left", "剩余 {left} / {all}";
    you_are_to_pay: "You are to pay for it", "由您付费";
    paid_per_use(to, cost): "Members of {to}: {cost} a use.", "{to}会员：每次 {cost}。";
    paid_face(face): "Face value {face}.", "面值 {face}。";
    paid_quota(quota): "Vouchers in all: {quota}.", "总量：{quota}。";
    settles_at_issue: "It is owed when a voucher is claimed.", "领取时结算。";
    settles_at_redemption: "It is owed when a voucher is used.", "核销时结算。";
    approve_paying: "Approve paying", "同意付费";
    withdraw_paying: "Pay for no more of it", "不再付费";
    approvals_pending: "Has not approved yet", "待批准";
    open_word: "Open", "开放";
    closed_word: "Closed", "关闭";
    open_it: "Open", "开放";
    close_it: "Close", "关闭";
    version_of(version): "version {version}", "版本 {version}";

    webhooks: "Webhooks", "事件推送";
    no_webhooks: "There are none. They are made by POST /v1/webhooks.", "暂无。可通过 POST /v1/webhooks 创建。";
    address_word: "Address", "地址";
    event_types: "Events", "事件";
    all_types: "all", "全部";
    sent_to: "Sent up to", "已推送至";
    deliveries: "Deliveries", "推送记录";
    no_deliveries: "None.", "暂无。";
    event_type: "Event", "事件";
    next_try: "Next try", "下次尝试";
    tries: "Tries", "尝试次数";
    last_try: "The last came to", "最近结果";
    resend: "Send again", "重新推送";
    suspended_asked: "you asked for it", "贵方要求";
    suspended_gone: "it answered that it is gone", "地址已失效";
    suspended_failing: "it failed for five days", "连续五天失败";

    keys: "Certificates and keys", "证书与密钥";
    certificates: "Client certificates", "客户端证书";
    certificates_what: "With these your systems call. A new one is enrolled over the API before the old one ends.", "贵方系统调用所用。请在到期前通过接口更换。";
    signing_keys: "Signing keys", "签名密钥";
    signing_keys_what: "With these you approve proposals and countersign statements. The private halves are yours alone.", "用于批准提案及会签结算单。私钥仅由贵方持有。";
    thumbprint: "Thumbprint", "指纹";
    serial: "Serial number", "序列号";
    over: "Over", "已过期";
    revoked: "Revoked", "已吊销";
    retired: "Retired", "已停用";
}

impl Lang {
    /// With how it looks.
    pub fn proposal_state(self, state: State) -> (&'static str, &'static str) {
        match state {
            State::Proposed => (self.pick("Waits for approval", "待批准"), "busy"),
            State::Approved => (self.pick("Approved", "已批准"), "good"),
            State::Published => (self.pick("Published", "已发布"), "good"),
            State::Withdrawn => (self.pick("Withdrawn", "已撤回"), ""),
        }
    }

    pub fn reversal_state(self, state: &str) -> &'static str {
        match state {
            "requested" => self.pick("Asked for", "待确认"),
            "pending" => self.pick("On its way", "处理中"),
            "completed" => self.pick("Completed", "已完成"),
            _ => self.pick("Refused", "被拒绝"),
        }
    }

    /// With how it looks.
    pub fn delivery_state(self, state: &str) -> (&'static str, &'static str) {
        match state {
            "due" => (self.pick("Due", "待推送"), ""),
            "retrying" => (self.pick("Tried again", "重试中"), "busy"),
            "delivered" => (self.pick("Delivered", "已送达"), "good"),
            _ => (self.pick("Given up", "已放弃"), "bad"),
        }
    }

    /// What a line of a proposal is about.
    pub fn changed(self, what: &str) -> String {
        if self == Lang::En {
            return what.to_owned();
        }
        let known = CHANGED.iter().find_map(|(en, zh)| Some((zh, what.strip_prefix(en)?)));
        known.map_or_else(
            || what.to_owned(),
            |(zh, rest)| format!("{zh}{}", rest.replacen(", ", "，", 1).replace("any tier", "任意等级")),
        )
    }
}

/// What proposals call a thing; the longer of two that begin alike is first.
const CHANGED: [(&str, &str); 32] = [
    ("settlement price", "结算价"),
    ("settlement cycle", "结算周期"),
    ("fee", "手续费"),
    ("notice", "通知期"),
    ("undo", "撤销期"),
    ("exposure limit", "敞口上限"),
    ("renews on arrival", "到账重新计算有效期"),
    ("reversal needs confirmation", "冲回须对方确认"),
    ("target pays spent points", "已用积分由转入方承担"),
    ("grace and dispute", "宽限与争议期"),
    ("agreement", "协议"),
    ("announced rate", "已公布汇率"),
    ("rate", "汇率"),
    ("campaign", "活动"),
    ("name", "名称"),
    ("trade", "行业"),
    ("legal entity", "法人"),
    ("programme", "积分计划"),
    ("unit cost", "单位成本"),
    ("expires after", "有效期"),
    ("tiers", "等级"),
    ("member limits", "会员限额"),
    ("ledger accounts", "会计科目"),
    ("endpoint", "接口地址"),
    ("currency and zone", "币种与时区"),
    ("quotes bind", "报价有效期"),
    ("new links open after", "新关联冷静期"),
    ("netting", "轧差方式"),
    ("rounding", "舍入"),
    ("days after a window", "结算期后时限"),
    ("mandate", "授权"),
    ("what is not shown", "未列明的内容"),
];
