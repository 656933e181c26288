//! What is on its way between two ledgers, and the health of the exchange.

use super::words;
use crate::domain::crossing::State;
use crate::domain::resolution::Outcome;
use crate::web::lang::Lang;

words! {
    crossings: "Between ledgers", "跨账本转换";
    crossing: "Conversion between two ledgers", "跨账本转换";
    crossings_in_doubt: "In doubt", "存疑";
    crossings_no_doubt: "Nothing is in doubt.", "暂无存疑。";
    crossings_under_way: "On their way", "处理中";
    crossings_none: "Nothing is on its way.", "暂无处理中的转换。";
    crossing_id: "Id", "编号";
    crossing_from_to: "From and to", "方向";
    crossing_points: "Points", "积分";
    crossing_moves(debit, credit): "{debit} → {credit}", "{debit} → {credit}";
    crossing_asked: "Waits for", "等待";
    crossing_since: "Since", "自";
    crossing_attempts: "Calls without an outcome", "无结果的请求次数";
    crossing_next_call: "Asked again", "下次询问";
    crossing_cause: "Why", "原因";
    crossing_note: "What the last call came to", "最近一次请求结果";
    crossing_accepted: "Accepted", "受理时间";
    crossing_kind_conversion: "Conversion", "转换";
    crossing_kind_undo: "Undo", "撤销";
    crossing_kind_reversal: "Reversal", "冲回";
    evidence: "Evidence", "证据";
    evidence_what: "Everything that was kept of it: signed answers, and what people have said. Nothing of it is ever deleted.",
        "全部留存：已签名的应答及人员意见，永不删除。";
    evidence_none: "Nothing is kept of it.", "暂无留存。";
    evidence_call: "Call", "请求";
    evidence_by: "By", "来自";
    evidence_document: "Document", "内容";
    doubt_resolve: "Resolve by four eyes", "双人处置";
    doubt_resolve_what: "Ask the partner in writing what its ledger says. Never resolve by what is likely. Two operators must say the same, each with a reason of its own, which is kept for ever.",
        "请书面向合作品牌核实其账本。切勿凭推测处置。须由两名操作员作出相同结论，各自说明原因，永久留存。";
    doubt_not: "It is not in doubt: there is nothing to resolve.", "未存疑，无需处置。";
    doubt_over: "It is over.", "已结束。";
    doubt_outcome: "What has become of it", "结论";
    doubt_reason: "Reason", "原因";
    doubt_propose: "Propose", "提出";
    doubt_confirm: "Confirm", "确认";
    doubt_proposed(who, outcome): "{who} proposes: {outcome}", "{who}提出：{outcome}";
    doubt_waits: "You have proposed this. Another operator is to say the same.", "您已提出，须由另一名操作员确认。";
    doubt_sure: "Carry this out? What is resolved wrongly only the partner can take back.", "确定执行？处置错误时只有合作品牌能够追回。";
    doubt_resolved(first, second, outcome): "{first} and {second} have said: {outcome}", "{first}与{second}一致认定：{outcome}";
    backlog: "Backlog by partner", "各品牌积压";
    backlog_partner: "Partner", "合作品牌";
    backlog_count: "On their way", "处理中";
    backlog_oldest: "Oldest", "最早";
    seconds(count): "{count} s", "{count} 秒";
    health: "Health", "运行状况";
    health_waiting: "Commands that wait here", "本机待处理指令";
    health_lag: "The feed is behind by", "事件流滞后";
    health_database: "Database", "数据库";
    health_durable: "keeps what it has committed", "已提交数据不会丢失";
    health_not_durable: "may lose what it has committed", "可能丢失已提交数据";
    health_checksums: "checks its pages", "启用页校验";
    health_no_checksums: "does not check its pages", "未启用页校验";
    health_certificates: "Certificates, those that end soonest first", "证书（按到期先后）";
    health_holder: "Holder", "持有者";
    health_ends: "Ends", "到期";
    health_days(days): "in {days}", "剩余 {days}";
    health_webhooks: "Webhooks", "事件推送";
    health_webhook_backlog: "Not read yet", "未读";
    health_webhook_waiting: "To be sent", "待发送";
    health_webhook_dead: "Given up", "已放弃";
    health_webhook_open: "Failing", "失败中";
    health_webhook_suspended: "Suspended", "已停用";
    health_fine: "Fine", "正常";
}

impl Lang {
    pub fn crossing_kind(self, code: &str) -> &'static str {
        match code {
            "undo" => self.crossing_kind_undo(),
            "reversal" => self.crossing_kind_reversal(),
            _ => self.crossing_kind_conversion(),
        }
    }

    pub fn crossing_state(self, state: State) -> &'static str {
        let (en, zh) = match state {
            State::Holding => ("The origin is asked to hold", "请转出方冻结"),
            State::Crediting => ("The target is asked to credit", "请转入方入账"),
            State::Capturing => ("The origin is asked to let go of its points", "请转出方扣减"),
            State::Voiding => ("The target is asked to void the credit", "请转入方作废入账"),
            State::Releasing => ("The origin is asked to release its hold", "请转出方解冻"),
            State::Done => ("Done", "已完成"),
            State::Released => ("Released", "已退回"),
        };
        self.pick(en, zh)
    }

    pub fn resolved_as(self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Completed => self.pick("completed", "已完成"),
            Outcome::Released => self.pick("released", "已退回"),
        }
    }

    /// What an outcome says of this state.
    pub fn outcome_of(self, outcome: Outcome, state: State) -> &'static str {
        let (en, zh) = match (outcome, state) {
            (Outcome::Completed, State::Capturing) => {
                ("Completed: the origin has let go of the points", "已完成：转出方已扣减")
            }
            (Outcome::Completed, _) => (
                "Completed: the target has credited; the credit is posted, and the origin lets its points go",
                "已完成：转入方已入账，随后转出方扣减",
            ),
            (Outcome::Released, State::Releasing) => {
                ("Released: the origin holds nothing of it any more", "已退回：转出方已不再冻结")
            }
            (Outcome::Released, State::Voiding) => (
                "Released: the target has not credited and never will; the origin releases its points",
                "已退回：转入方未入账且不会入账，转出方解冻",
            ),
            (Outcome::Released, _) => {
                ("Released: it is given up; whatever was asked for is asked back", "已退回：放弃，已发出的请求逐一撤回")
            }
        };
        self.pick(en, zh)
    }
}
