//! The member's pages.

use super::words;
use crate::domain::benefit::{Kind, Period};
use crate::domain::voucher::State;
use crate::service::memberships::EntryKind;
use crate::web::lang::Lang;

words! {
    skip: "Skip to content", "跳到正文";
    other_language: "中文", "English";
    nav: "Pages", "页面";
    points: "Points", "积分";
    history: "History", "记录";
    benefits: "Benefits", "权益";
    vouchers: "Vouchers", "我的券";
    links: "Links", "关联";
    back_to(brand): "Back to {brand}", "返回{brand}";
    sign_out: "Close", "退出";

    your_points: "Your points", "我的积分";
    at_other_brands: "At the brands you are linked to", "已关联品牌";
    tier(name): "Tier: {name}", "等级：{name}";
    pending_points(points): "{points} not usable yet", "{points} 待生效";
    held_points(points): "{points} held for conversions on their way", "{points} 转换途中冻结";
    owed_points(points): "{points} owed after a returned purchase", "因退货欠 {points}";
    kept_there(brand): "{brand} keeps this balance itself", "余额由{brand}自行记录";
    opens_on(day): "Link opens on {day}", "关联将于{day}开放";
    expiry_ahead: "Expiry ahead", "即将到期";
    expires(points, day): "{points} on {day}", "{day}到期 {points}";
    expires_never(points): "{points} never expire", "{points} 永久有效";
    nothing_linked: "You are not linked to another brand yet. Link from the other brand's app.",
        "您尚未关联其他品牌。可在其他品牌的应用中建立关联。";
    links_not_open: "Your link is new. You can convert from the day on that it opens, which is written below.", "关联刚建立，将于下方所示日期开放，届时即可转换。";
    no_way_now: "There is no rate at the moment between this brand and those you are linked to.", "本品牌与您已关联的品牌之间目前没有汇率。";

    convert: "Convert points", "转换积分";
    direction: "From and to", "转换方向";
    direction_of(from, to): "{from} → {to}", "{from} → {to}";
    how_many: "Points to give", "转出积分";
    check: "See what you get", "查看所得";
    you_give: "You give", "转出";
    you_get: "You get", "得到";
    you_keep: "You keep", "保留";
    not_needed(points): "Of what you entered, not needed: {points}", "您输入的积分中未用到 {points}";
    of_it_bonus(points, campaign): "{points} of it as a bonus: {campaign}", "其中加赠 {points}：{campaign}";
    rate: "Rate", "汇率";
    rate_for(give, get): "{give} : {get}", "{give} : {get}";
    rate_ends(when): "until {when}", "有效至{when}";
    rate_of_tier(tier): "for tier {tier}", "适用等级：{tier}";
    arrives: "Arrives", "到账";
    arrives_now: "At once", "立即";
    arrives_within(time): "Within {time}, as a promise; points are held until then", "承诺 {time}内到账，期间积分冻结";
    arriving_expire: "The points you get expire", "所得积分有效期";
    because_origin: "not later than the points you give for them", "不晚于转出积分的有效期";
    because_target: "by the rule of the brand they arrive at", "按转入品牌规则";
    mortal_warning: "The points you give never expire; those you get do.", "您转出的积分永久有效，得到的积分会到期。";
    undo_within(time): "You can undo it for {time}.", "{time}内可撤销。";
    offer_until(when): "This offer holds until {when}.", "报价有效至{when}。";
    confirm: "Confirm", "确认转换";

    conversion: "Conversion", "转换";
    confirmation: "Confirmation number", "确认号";
    state: "State", "状态";
    state_completed: "Completed", "已完成";
    state_pending: "On its way", "处理中";
    state_in_doubt: "Being looked at by a person", "人工核实中";
    state_released: "Not carried out: your points are back", "未成功，积分已退回";
    state_undone: "Undone", "已撤销";
    state_partly_reversed: "Partly taken back", "部分冲回";
    state_reversed: "Taken back", "已全部冲回";
    state_being_undone: "Being undone", "撤销中";
    pending_promise(when): "You need do nothing. It will have arrived by {when}, or your points come back.",
        "您无需任何操作。最晚{when}到账，否则积分退回。";
    undo: "Undo", "撤销";
    undo_until(when): "You can undo this until {when}.", "{when}前可撤销。";
    undo_what: "The points go back, and what arrived is taken back.", "积分将退回，到账积分将扣回。";
    done_at: "When", "时间";
    to_history: "See your history", "查看记录";

    nothing_yet: "Nothing yet.", "暂无记录。";
    older: "Older", "更早";
    what: "What", "事项";
    gave_got(gave, from, got, to): "{gave} {from} → {got} {to}", "{gave} {from} → {got} {to}";
    of_kind(kind, what): "{kind}: {what}", "{kind}：{what}";
    on_their_way: "On their way", "处理中的转换";

    for_you: "For you", "可领取";
    not_for_you_yet: "Not yet for you", "暂不可领取";
    no_benefits: "Nothing is offered at the moment.", "暂无权益。";
    claim: "Claim", "领取";
    claim_for(points): "Claim for {points}", "用 {points}领取";
    costs_cash(amount): "{amount} at the till", "到店支付 {amount}";
    costs_points_and_cash(points, amount): "{points} and {amount} at the till", "{points} + 到店支付 {amount}";
    free: "Free", "免费";
    worth(amount): "worth {amount}", "价值 {amount}";
    given_by(brand): "By {brand}", "由{brand}提供";
    left_over(count): "{count} left", "剩余 {count}";
    had_it: "You have had it.", "您已领取。";
    sold_out: "None is left.", "已领完。";
    use_within(days): "good for {days}", "领取后 {days}内有效";
    use_today: "good on the day you claim it", "仅领取当日有效";
    use_by(day): "good until {day}", "有效期至{day}";
    off(amount): "{amount} off", "减 {amount}";
    off_from(amount, from): "{amount} off from {from}", "满 {from} 减 {amount}";
    percent_off(percent): "{percent} % off", "优惠 {percent}%";
    percent_off_from(percent, from): "{percent} % off from {from}", "满 {from} 优惠 {percent}%";
    off_at_most(off, amount): "{off}, at most {amount}", "{off}，最多 {amount}";
    at_most(amount): "at most {amount}", "最多 {amount}";

    no_vouchers: "You have no vouchers.", "暂无券。";
    show_at_till: "Show this at the till", "到店出示";
    uses_left(left, uses): "{left} of {uses} uses left", "剩余 {left}/{uses} 次";
    give_back: "Give back", "退回";
    give_back_what(points): "The place is given back, and you get {points} back.", "名额释放，{points}退回。";
    give_back_ended: "Those of them whose last day is past end at once.", "其中已过有效期的积分退回后即失效。";
    give_back_free: "The place is given back.", "名额释放。";
    black_day(day): "Not good on {day}", "{day}不可用";
    black_days(from, to): "Not good from {from} to {to}", "{from}至{to}不可用";
    reserved_until(when): "Reserved until {when}. It is issued once your brand has taken the points.", "保留至{when}，品牌扣除积分后发放。";

    pass: "Pass for the till", "会员码";
    pass_what: "A till of any partner sees your tier, and what you have agreed to share with it. Nothing else.",
        "合作品牌门店可看到您的等级及您同意共享的信息，仅此而已。";
    make_pass: "Show a pass", "出示会员码";
    pass_until(when): "Good until {when}.", "有效至{when}。";

    your_links: "Your links", "已建立的关联";
    link_open: "Open", "已开放";
    may_pull(brand): "{brand} may spend these points for you", "{brand}可代您使用这里的积分";
    end_link: "End link and withdraw consent", "解除关联并撤回同意";
    end_link_what: "No more conversions between the two brands; nothing is shared any more. What was done stays.",
        "两个品牌之间不再转换积分、不再共享信息；已完成的不受影响。";
    consents: "What you have agreed to", "您的授权";
    recipient: "Who", "接收方";
    purpose: "For what", "用途";
    shared: "What is shared", "共享内容";
    given: "Given", "授权时间";
    withdrawn: "Withdrawn", "撤回时间";
    nothing_shared: "Nothing but the conversion itself", "仅转换本身";
    closed: "The page is closed", "页面已关闭";
    closed_what: "Nobody can use it any more on this device. Open it again from the app you came from.",
        "此设备上已无法继续使用。如需使用，请从您来时的应用重新进入。";
    closes_itself: "This page closes by itself after 15 minutes without use.", "15 分钟未使用，页面将自动关闭。";
    amount_of(currency, amount): "{currency} {amount}", "{amount} {currency}";
}

impl Lang {
    /// What a member has agreed to share, by its code; a brand's own are as the brand calls them.
    pub fn category(self, code: &str) -> &str {
        match code {
            "identity" => self.pick("who you are to the brand", "身份标识"),
            "birth_month" => self.pick("the month of your birth", "生日月份"),
            "member_since" => self.pick("since when you are a member", "入会日期"),
            "tags" => self.pick("the groups your brand has put you in", "会员标签"),
            other => other,
        }
    }

    pub fn kind(self, kind: Kind) -> &'static str {
        let (en, zh) = match kind {
            Kind::Ticket => ("Ticket", "门票"),
            Kind::Coupon => ("Coupon", "优惠券"),
            Kind::Goods => ("Goods", "礼品兑换"),
            Kind::Place => ("Place", "活动名额"),
            Kind::Service => ("Service", "服务"),
            Kind::EarlyAccess => ("Early access", "优先购"),
            Kind::Trial => ("Trial", "试用"),
        };
        self.pick(en, zh)
    }

    pub fn per_member(self, count: u16, period: Period) -> String {
        let (en, zh) = match period {
            Period::Day => ("a day", "每天"),
            Period::Month => ("a month", "每月"),
            Period::Year => ("a year", "每年"),
            Period::Ever => ("in all", "总共"),
        };
        match self {
            Lang::En => format!("{count} per person {en}"),
            Lang::Zh => format!("每人{zh} {count} 份"),
        }
    }

    pub fn voucher_state(self, state: State) -> &'static str {
        let (en, zh) = match state {
            State::Reserved => ("Reserved", "保留中"),
            State::Issued => ("Good", "可使用"),
            State::PartlyRedeemed => ("Partly used", "部分使用"),
            State::Redeemed => ("Used", "已使用"),
            State::Expired => ("Expired", "已过期"),
            State::Cancelled => ("Given back", "已退回"),
        };
        self.pick(en, zh)
    }

    /// A line of the journal that is no conversion.
    pub fn entry(self, kind: Option<EntryKind>) -> &'static str {
        use EntryKind as E;
        let (en, zh) = match kind {
            Some(E::Earn) => ("Earned", "获得"),
            Some(E::Extra) => ("Extra points", "额外奖励"),
            Some(E::Opening) => ("Brought forward", "期初转入"),
            Some(E::Adjust) => ("Adjusted by the brand", "品牌调整"),
            Some(E::Debit) => ("Spent", "使用"),
            Some(E::CreditReversed) => ("Taken back by the brand", "品牌收回"),
            Some(E::DebitReversed) => ("Given back by the brand", "品牌退回"),
            Some(E::ConvertedOut | E::CrossedOut) => ("Converted out", "转出"),
            Some(E::ConvertedIn | E::CrossedIn) => ("Converted in", "转入"),
            Some(E::Bonus) => ("Bonus", "加赠"),
            Some(E::TakenBack) => ("Conversion taken back", "转换冲回"),
            Some(E::GivenBack) => ("Back from a conversion", "转换退回"),
            Some(E::Expired) => ("Expired", "过期"),
            Some(E::Redated) => ("Given another expiry", "有效期变更"),
            Some(E::Forfeited) => ("Forfeited", "作废"),
            Some(E::OwedMet) => ("Owed points met", "抵扣所欠"),
            Some(E::Claimed) => ("For a benefit", "领取权益"),
            Some(E::ClaimRefunded) => ("Back from a benefit", "权益退回"),
            Some(E::BenefitUsed) => ("Benefit used", "使用权益"),
            None => ("Other", "其他"),
        };
        self.pick(en, zh)
    }
}
