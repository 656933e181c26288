//! What is round every page of staff, signing in, people and their log.

use super::words;
use crate::domain::staff::Role;
use crate::web::lang::Lang;
use crate::web::staff::Place;

words! {
    sign_in: "Sign in", "登录";
    sign_off: "Sign out", "退出登录";
    sign_in_refused: "Login, password and code do not fit together. After five wrong attempts a login is locked for a while.",
        "登录名、密码或验证码不正确。连续五次错误后将暂时锁定。";
    login: "Login", "登录名";
    password: "Password", "密码";
    second_factor: "Code of your authenticator", "动态验证码";
    second_factor_what: "Six digits, a new one every 30 seconds.", "六位数字，每 30 秒更新。";
    read_only: "This brand has left the alliance: its pages can be read, nothing can be done.", "该品牌已退出联盟：页面仅供查看。";
    place_home: "Overview", "总览";
    people: "Staff", "员工";
    staff_log: "Staff log", "操作日志";
    staff_log_what: "Every act of staff, each line with the hash of the one before: nothing can be changed or taken out without showing.",
        "员工的每一项操作，每行含前一行的哈希：任何改动或删除都会显现。";
    role_of: "Role", "角色";
    house: "House", "所属";
    last_signed_in: "Last signed in", "最近登录";
    actions: "Actions", "操作";
    locked: "Locked", "已锁定";
    remove: "Remove", "移除";
    sure_remove(login): "Remove {login}? Its sessions end at once.", "移除 {login}？其登录会立即失效。";
    add_person: "Add somebody", "添加员工";
    add: "Add", "添加";
    invited: "Invited", "待启用";
    invited_what(login): "Give this address to {login} alone: it opens their login once. It is shown here and nowhere else.",
        "请将此链接仅交给 {login} 本人：只能用来启用一次登录。仅在此显示一次。";
    invited_until(at): "Good until {at}.", "有效期至 {at}。";
    invited_eyes: "Password and authenticator they choose themselves. For seven days from then on they are not one of two who decide something together, and do not say what is paid.",
        "密码与验证器由本人设置。此后七天内不能参与双人确认，也不能确认付款。";
    change_role: "Change the role", "更改角色";
    reset_person: "New password and authenticator", "重置密码与验证器";
    sure_reset(login): "Reset {login}? Password and authenticator of now are good no more, and its sessions end at once.",
        "重置 {login}？现有密码与验证器立即失效，已登录的会话随即结束。";
    end_sessions: "Sign out everywhere", "全部退出登录";
    sure_end_sessions(login): "Sign {login} out everywhere?", "将 {login} 从所有设备退出登录？";
    more_actions: "More", "更多";
    enrol_title: "Set up your login", "启用登录";
    enrol_what: "Choose a password that nobody else knows. 12 to 128 characters of any kind; this address is used by it.",
        "请设置只有您知道的密码，12 至 128 个字符。设置后此链接即失效。";
    password_again: "The same once more", "再次输入密码";
    passwords_differ: "The two are not the same.", "两次输入不一致。";
    go_further: "Go on", "继续";
    enrol_scan: "Scan this with an authenticator app now, and type the code that it shows. It is shown to you alone, and not again.",
        "请立即用验证器扫描，并输入其显示的验证码。仅向您显示，且不再显示。";
    enrol_code_wrong: "This code is not right. After five wrong ones you need a new address.", "验证码不正确。连错五次后需要新的链接。";
    who: "Who", "操作人";
    subject: "On what", "对象";
    details: "Details", "详情";
}

impl Lang {
    pub fn place(self, place: Place) -> &'static str {
        match place {
            Place::Home => self.place_home(),
            Place::Figures => self.figures(),
            Place::Windows => self.windows(),
            Place::Disputes => self.disputes(),
            Place::Payments => self.payments(),
            Place::Reconciliations => self.reconciliations(),
            Place::Liability => self.liability(),
            Place::Till => self.till(),
            Place::Crossings => self.crossings(),
            Place::Rates => self.rates(),
            Place::Proposals => self.proposals(),
            Place::Conversions => self.conversions(),
            Place::Exposures => self.exposures(),
            Place::Benefits => self.benefits(),
            Place::Webhooks => self.webhooks(),
            Place::Keys => self.keys(),
            Place::People => self.people(),
            Place::Log => self.staff_log(),
        }
    }

    pub fn role(self, role: Role) -> &'static str {
        let (en, zh) = match role {
            Role::Viewer => ("Viewer", "查看"),
            Role::Clerk => ("Clerk", "店员"),
            Role::Finance => ("Finance", "财务"),
            Role::Engineer => ("Engineer", "工程师"),
            Role::Admin => ("Administrator", "管理员"),
        };
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }
}
