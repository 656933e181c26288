//! Finance's pages: windows, statements and their lines, signing, disputes, payments, lists, liability.

use super::words;
use crate::domain::settlement::dispute::{Kind, State as DisputeState};
use crate::domain::settlement::reconcile::Finding;
use crate::domain::settlement::statement::State as StatementState;
use crate::domain::settlement::tally::Sort;
use crate::service::settlement::reports::words as reported;
use crate::web::lang::Lang;

words! {
    windows: "Settlement", "结算";
    window: "Window", "结算期";
    window_no(number): "Window {number}", "第 {number} 结算期";
    disputes: "Disputes", "争议";
    dispute: "Dispute", "争议";
    payments: "Payments", "收付款";
    reconciliations: "Reconciliation", "对账";
    liability: "Liability", "积分负债";
    stands: "State", "状态";
    days: "Days", "期间";
    days_from(first): "from {first}", "{first} 起";
    days_between(first, last): "{first} to {last}", "{first} 至 {last}";
    owed_in_all: "Owed", "应付总额";
    paid_in_all: "Paid", "已付";
    statements: "Statements", "对账单";
    statement_of(whose, number): "Statement of {whose}, window {number}", "{whose} 第 {number} 结算期对账单";
    participant: "Participant", "结算参与方";
    operator_party: "Operator", "运营方";
    settlement_account: "Settlement account", "结算账户";
    closing_position: "Closing position", "期末结算头寸";
    lines: "Lines", "明细";
    nothing_here: "Nothing yet.", "暂无记录。";
    statement_by: "Statements by", "出账日";
    disputes_until: "Disputes until", "争议截止日";
    due_on: "Due on", "到期日";
    published_at: "Published", "发布时间";
    in_progress: "On its way", "处理进度";
    progress_of(done, all): "Lines are written up to batch {done} of {all}. Load the page again to see how far it is.",
        "明细已写至第 {done} 批，共 {all} 批。刷新页面查看进度。";
    blocked_what: "Something does not add up. Nothing of this window is signed until it does; conversions go on.",
        "核对不一致。在解决之前，本期不会签署任何对账单；转换照常进行。";
    blocked_ask: "The operator is looking into it.", "运营方正在处理。";
    close_now: "End this window now", "立即结束本期";
    close_sure(number): "End window {number} now? It cannot be opened again.", "确定结束第 {number} 结算期？结束后无法重新打开。";
    close_what: "What is posted from then on is in the next window. Lines, nets and statements follow by themselves.",
        "此后入账的计入下一期。明细、轧差和对账单将自动生成。";
    try_again: "Try again from the beginning", "从头重试";
    obligations: "To be paid", "付款义务";
    obligations_what: "What is left after netting.", "轧差后应付的款项。";
    payer: "Pays", "付款方";
    payee: "Is paid", "收款方";
    amount: "Amount", "金额";
    left_to_pay: "Left", "未付";
    counterparty: "Counterparty", "对手方";
    reports: "Reports to download", "报表下载";
    download(what, form): "{what}, {form}", "{what}（{form}）";
    record: "Signed record", "签名文件";
    lines_csv: "Lines, CSV", "明细（CSV）";
    to_lines: "All lines", "全部明细";
    to_statement: "The statement", "查看对账单";
    behind_figure(figure): "Behind the figure: {figure}", "对应项目：{figure}";
    all_counterparties: "all counterparties", "全部对手方";
    sort: "Figure", "项目";
    line: "Line", "行号";
    line_id: "Line id", "明细编号";
    on_day: "Day", "日期";
    conversion_id: "Conversion", "转换编号";
    own_reference: "Own reference", "本方单号";
    points_in: "Points credited", "转入积分";
    points_out: "Points debited", "转出积分";
    price: "Price", "单价";
    fee: "Fee", "手续费";
    more_lines: "Further lines", "后续明细";
    none_so_far: "None among the lines looked through so far.", "已查找的明细中没有匹配项。";
    dispute_line: "Dispute", "提出争议";
    sign_statement: "Counter-sign", "会签";
    sign_title(number): "Counter-sign window {number}", "会签第 {number} 结算期";
    sign_what: "Your signature says that this record is the one you received. It settles no dispute, and none is lost by it.",
        "会签表示贵方收到的即为此文件。会签不影响任何争议。";
    signed_already(kid): "Signed with your key {kid}.", "已用贵方密钥 {kid} 会签。";
    digest: "SHA-256 of the statement", "对账单 SHA-256";
    leaf: "Leaf in the log", "日志叶哈希";
    your_key: "Your signing key", "贵方签名密钥";
    no_keys: "You have no active signing key. Your engineers register one: POST /v1/signing-keys.",
        "贵方没有有效的签名密钥。请工程师通过 POST /v1/signing-keys 登记。";
    sign_here: "Sign in this browser", "在浏览器中签名";
    sign_here_what: "The key file is read by this page alone and never sent. Ed25519, as PKCS#8 (PEM or DER) or JWK.",
        "密钥文件仅由本页面读取，绝不会发送。支持 Ed25519，PKCS#8（PEM 或 DER）或 JWK。";
    key_file: "Key file", "密钥文件";
    sign_no_key: "This file is no Ed25519 private key.", "该文件不是 Ed25519 私钥。";
    sign_strange_key: "This key is not one of your active signing keys.", "该密钥不是贵方有效的签名密钥。";
    sign_no_browser: "This browser does not sign with Ed25519: use the command line.", "此浏览器不支持 Ed25519 签名，请使用命令行。";
    sign_unread: "The statement could not be read, so nothing was signed. Load this page anew, and sign in again if it asks you to.",
        "无法读取结算单，未签名。请刷新页面，如有提示请重新登录。";
    sign_done: "Signed here. Send it below.", "已签名，请在下方提交。";
    sign_elsewhere: "Sign on the command line", "用命令行签名";
    sign_elsewhere_what: "Take the payload, sign it where the key is, and bring what is printed. For ES256 use your own library (RFC 7515).",
        "下载待签内容，在密钥所在机器上签名，再提交输出结果。ES256 请使用自有程序库（RFC 7515）。";
    payload_file: "Payload to sign", "待签内容";
    signed_text: "The signature", "签名";
    signed_text_what: "JSON with protected and signature, a whole document, or a compact JWS.", "含 protected 与 signature 的 JSON、完整文件，或紧凑 JWS。";
    send_signature: "Send the signature", "提交签名";
    opener: "Opened by", "提出方";
    what_kind: "Kind", "类型";
    claims: "Claim", "主张金额";
    opened_at: "Opened", "提出时间";
    answer_by: "Answer by", "答复截止";
    stated: "The line says", "明细所载";
    claimed: "It should say", "主张为";
    points_count(count): "{count} points", "{count} 积分";
    note: "Note", "说明";
    open_dispute: "Dispute a line", "对明细提出争议";
    open_dispute_button: "Open the dispute", "提出争议";
    open_dispute_what: "The statement stands and is paid. What is decided later is an adjustment in the window open then.",
        "对账单不变，照常付款。裁定结果将作为调整计入届时的结算期。";
    disputed_before: "This line was disputed as this before: here is that dispute. Nothing new was opened.", "该明细此前已按此类型提出争议，以下为该争议。未新建争议。";
    claimed_points: "Points it should have", "应为积分";
    claimed_amount: "Amount it should have", "应为金额";
    claimed_what: "As you see it: positive is owed to you. Leave both empty if it should not be there at all.",
        "以贵方视角：正数为应收。如该明细不应存在，请留空。";
    steps: "Steps", "经过";
    step_opened: "Opened", "提出";
    step_answered: "Answered", "答复";
    step_proposed: "Proposed", "提议";
    step_decided: "Decided", "裁定";
    step_withdrawn: "Withdrawn", "撤回";
    accepted: "accepted", "接受";
    rejected: "rejected", "拒绝";
    upheld: "upheld", "支持";
    answer: "Answer", "答复";
    answer_button: "Send the answer", "提交答复";
    withdraw: "Withdraw", "撤回争议";
    sure_withdraw: "Withdraw this dispute for good?", "确定撤回该争议？撤回后不能恢复。";
    decide: "Decide", "裁定";
    decide_what: "By four eyes: what one proposes is decided when another sends the same.", "双人裁定：一人提议，另一人提交相同内容后生效。";
    outcome: "Outcome", "结果";
    award: "What the opener is given", "给予提出方";
    award_what: "At most the claim; empty: all of it.", "不超过主张金额；留空为全部。";
    who_gives: "Who gives it", "承担方";
    who_gives_what: "Only where the dispute names nobody.", "仅在争议未指明对手方时填写。";
    reason: "Reason", "理由";
    propose: "Propose", "提议";
    confirm_decision: "Decide the same", "确认相同裁定";
    take_back: "Take the proposal back", "撤回提议";
    adjustment: "Adjustment", "调整";
    all_states: "All", "全部";
    show: "Show", "显示";
    record_payment: "Record a payment", "登记付款";
    payment_of(payer, payee): "{payer} pays {payee}", "{payer} 付给 {payee}";
    paid_on: "Value date", "到账日";
    bank_reference: "The bank's reference", "银行参考号";
    bank_reference_what: "The same one again is the same payment.", "相同参考号视为同一笔付款。";
    payments_what: "What is still to be paid, by the day it is due. Whoever is paid, or the operator, says that it was.",
        "未付清的款项，按到期日排列。由收款方或运营方登记付款。";
    own_list: "Compare your own list", "核对本方清单";
    own_list_what: "CSV with a heading, or a JSON object a line: conversion_id, external_reference or line_id, and amount or points. Up to 4 MB here; larger ones go through the API.",
        "带表头的 CSV，或每行一个 JSON 对象：conversion_id、external_reference 或 line_id，以及 amount 或 points。此处最大 4 MB，更大请用 API。";
    own_list_partners: "A partner compares its own list; the operator has none.", "对账清单由各合作方自行提交，运营方无需提交。";
    list_file: "File", "文件";
    list_text: "The list", "清单内容";
    list_form: "Format", "格式";
    list_map: "Columns called otherwise", "列名对应";
    list_map_what: "column:field with commas between, if they are not called as their fields.", "列名:字段，逗号分隔；列名与字段一致时留空。";
    compare: "Compare", "开始核对";
    compared_lists: "Lists compared", "已核对清单";
    compared_fields: "Compared", "核对字段";
    list_rows: "Rows of the list", "清单行数";
    lines_here: "Lines here", "本期明细行数";
    result: "Result", "结果";
    count: "Count", "数量";
    here: "Here", "本系统";
    there: "Your list", "贵方清单";
    difference: "Difference", "差额";
    differences: "Differences", "差异";
    row: "Row", "行";
    what_is_it: "What", "内容";
    all_agrees: "Everything agrees.", "全部一致。";
    to_disputes(left): "Dispute what differs ({left} not handled yet)", "对差异提出争议（{left} 项待处理）";
    handled(opened, known, skipped): "{opened} disputes opened, {known} known before, {skipped} not a matter of dispute.",
        "已提出 {opened} 项争议，{known} 项此前已提出，{skipped} 项不属争议范围。";
    running: "Under way", "进行中";
    completed: "Completed", "已完成";
    why_amount_unfit: "Please look at the amount: a decimal such as -12.50.", "请检查金额，例如 -12.50。";
    why_day_unfit: "Please look at the day: YYYY-MM-DD.", "请检查日期，格式为 YYYY-MM-DD。";
    why_jws_unfit: "This is no signature: JSON with protected and signature, a whole document, or a compact JWS.",
        "这不是签名：应为含 protected 与 signature 的 JSON、完整文件，或紧凑 JWS。";
    why_kind_unfit: "Please choose one of the kinds.", "请选择一个类型。";
    why_points_unfit: "Please look at the points: a whole number.", "请检查积分，应为整数。";
    why_answer_unfit: "Please say whether you accept it.", "请选择接受或拒绝。";
    why_decision_unfit: "Please say whether it is upheld or rejected.", "请选择支持或拒绝。";
    why_giver_unfit: "Who gives it is a brand's short name, or operator.", "承担方应为品牌代号或 operator。";
    told_invalid: "Something in the form does not fit; nothing was done.", "表单内容不符合要求，未执行任何操作。";
    told_stale: "Something else was said or done before; nothing was done now.", "此前已有其他操作，本次未执行。";
    told_dispute_closed: "The time to dispute lines of this window is over.", "本结算期的争议期已过。";
    told_forbidden: "This is not for you to do; nothing was done.", "您不能执行此操作，未执行任何操作。";
    told_too_large: "This is too large for the page; use the API.", "内容过大，请使用 API。";
}

impl Lang {
    /// A window's state by its code, and how it is coloured.
    pub fn window_state(self, code: &str) -> (&'static str, &'static str) {
        let (words, look) = match code {
            "open" => (("Open", "进行中"), ""),
            "closing" => (("Ending", "结束中"), "busy"),
            "closed" => (("Lines being written", "生成明细"), "busy"),
            "netted" => (("Being signed", "签署中"), "busy"),
            "blocked" => (("Blocked", "已阻断"), "bad"),
            "signed" => (("Being published", "发布中"), "busy"),
            "settled" => (("Settled", "已结清"), "good"),
            _ => (("Published", "已发布"), "good"),
        };
        (self.pick(words.0, words.1), look)
    }

    pub fn statement_state(self, code: &str) -> (&'static str, &'static str) {
        let (words, look) = match StatementState::parse(code) {
            Some(StatementState::Acknowledged) => (("Counter-signed", "已会签"), "good"),
            Some(StatementState::Deemed) => (("Deemed accepted", "视同确认"), "good"),
            Some(StatementState::Disputed) => (("Disputed", "有争议"), "bad"),
            Some(StatementState::Published) | None => (("Published", "已发布"), ""),
        };
        (self.pick(words.0, words.1), look)
    }

    /// An obligation's state by its code.
    pub fn due_state(self, code: &str) -> (&'static str, &'static str) {
        let (words, look) = match code {
            "paid" => (("Paid", "已付"), "good"),
            "partly_paid" => (("Partly paid", "部分支付"), "busy"),
            "overdue" => (("Overdue", "逾期"), "bad"),
            _ => (("Due", "待付"), ""),
        };
        (self.pick(words.0, words.1), look)
    }

    pub fn dispute_state(self, state: DisputeState) -> (&'static str, &'static str) {
        let (words, look) = match state {
            DisputeState::Open => (("Open", "待答复"), "busy"),
            DisputeState::Answered => (("Answered", "已答复"), "busy"),
            DisputeState::Decided => (("Decided", "已裁定"), "good"),
            DisputeState::Withdrawn => (("Withdrawn", "已撤回"), ""),
        };
        (self.pick(words.0, words.1), look)
    }

    pub fn dispute_kind(self, kind: Kind) -> &'static str {
        let (en, zh) = match kind {
            Kind::Missing => ("Missing", "缺少明细"),
            Kind::Duplicate => ("Duplicate", "重复"),
            Kind::Amount => ("Amount", "金额不符"),
            Kind::Rate => ("Rate or points", "汇率或积分不符"),
            Kind::Eligibility => ("Not entitled", "不应享有"),
            Kind::Identity => ("Wrong member", "会员不符"),
        };
        self.pick(en, zh)
    }

    pub fn finding(self, finding: Finding) -> &'static str {
        let (en, zh) = match finding {
            Finding::Matched => ("Matched", "一致"),
            Finding::MissingHere => ("In your list alone", "仅贵方清单有"),
            Finding::MissingThere => ("Here alone", "仅本系统有"),
            Finding::Amount => ("Another amount", "金额不同"),
            Finding::Rate => ("Other points", "积分不同"),
            Finding::Duplicate => ("Twice in your list", "清单重复"),
            Finding::Late => ("In another window", "属其他结算期"),
        };
        self.pick(en, zh)
    }

    /// As the reports call it.
    pub fn figure(self, sort: Sort) -> &'static str {
        let word = reported::sort(sort);
        self.pick(word.en, word.zh)
    }
}
