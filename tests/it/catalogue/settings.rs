//! Settlement settings, the operator and ledger accounts: changed by publishing, stored, read back.

use super::{count, founded, load, slug};
use diesel::connection::SimpleConnection;
use hanse::domain::catalogue::{Accounts, Cycle, Netting, Operator, Rounding, Settlement};
use hanse::service::proposals::{self, Authority, Line, Mandate};

/// Subject, what, before and after of each line.
fn told(lines: &[Line]) -> Vec<[&str; 4]> {
    lines.iter().map(|line| [&line.subject, &line.what, &line.before, &line.after].map(String::as_str)).collect()
}

#[test]
fn a_changed_cycle_is_told_proposed_and_published() {
    let (_database, mut conn, manifests) = founded("settings-cycle");
    manifests.edit("alliance.toml", "[settlement]", "\"monthly\"", "\"weekly\"");
    let plan = manifests.plan();
    let lines = proposals::difference(&mut conn, &plan).expect("compared");
    assert_eq!(told(&lines), [["alliance", "settlement cycle", "monthly", "weekly"]]);
    let proposed = proposals::propose(&mut conn, &plan).expect("proposed");
    assert_eq!((proposed.len(), proposed[0].new), (1, true));
    assert!(!proposals::propose(&mut conn, &plan).expect("again")[0].new, "an equal proposal stands");
    assert_eq!(load(&mut conn).alliance.settlement.cycle, Cycle::Monthly, "not before it is published");
    let published = proposals::publish(&mut conn, Authority::Mandate(Mandate), None).expect("published");
    assert_eq!((published.version, published.published.len()), (2, 1));
    assert_eq!(load(&mut conn).alliance.settlement, Settlement { cycle: Cycle::Weekly, ..Settlement::default() });
}

#[test]
fn every_setting_is_told_stored_and_read_back() {
    let (_database, mut conn, manifests) = founded("settings-all");
    for (from, to) in [
        ("\"monthly\"", "\"daily\""),
        ("\"multilateral\"", "\"bilateral\""),
        ("\"half_up\"", "\"half_even\""),
        ("cut_off_days = 1", "cut_off_days = 2"),
        ("draft_days = 3", "draft_days = 4"),
        ("dispute_days = 8", "dispute_days = 5"),
        ("due_days = 10", "due_days = 28"),
        ("Lumen Alliance Operations", "Lumen Clearing"),
        ("\"DEMO-OPERATOR-01\"", "\"DEMO-OPERATOR-02\""),
        ("fee_tax_percent = \"6\"", "fee_tax_percent = \"12.5\"\naccounts = { fee = \"6001.09\", tax = \"2221.09\" }"),
    ] {
        manifests.edit("alliance.toml", "[settlement]", from, to);
    }
    manifests.edit("lumen.toml", "[member_limits]", "[member_limits]", "[accounts]\nfee = \"6601 X\"\n[member_limits]");
    let plan = manifests.plan();
    let lines = proposals::difference(&mut conn, &plan).expect("compared");
    let head = "alliance";
    let days = ("cut off 1, draft 3, disputes 8, due 10", "cut off 2, draft 4, disputes 5, due 28");
    let entity =
        ("Lumen Alliance Operations Co., Ltd., DEMO-OPERATOR-01", "Lumen Clearing Co., Ltd., DEMO-OPERATOR-02");
    let wanted = [
        [head, "settlement cycle", "monthly", "daily"],
        [head, "netting", "multilateral", "bilateral"],
        [head, "rounding", "half up", "half to even"],
        [head, "days after a window", days.0, days.1],
        [head, "operator", entity.0, entity.1],
        [head, "tax in the fee", "6.00 %", "12.50 %"],
        [head, "operator's ledger accounts", "standard", "standard but fee 6001.09, tax 2221.09"],
        ["lumen", "ledger accounts", "standard", "standard but fee 6601 X"],
    ];
    assert_eq!(told(&lines), wanted);

    proposals::apply_and_publish(&mut conn, &plan, Mandate).expect("published");
    let catalogue = load(&mut conn);
    let settlement = Settlement {
        cycle: Cycle::Daily,
        netting: Netting::Bilateral,
        rounding: Rounding::HalfEven,
        cut_off_days: 2,
        draft_days: 4,
        dispute_days: 5,
        due_days: 28,
    };
    assert_eq!(catalogue.alliance.settlement, settlement);
    let accounts = Accounts { fee: "6001.09".into(), tax: "2221.09".into(), ..Accounts::of_operator() };
    let operator = Operator {
        legal_entity: "Lumen Clearing Co., Ltd.".into(),
        tax_code: "DEMO-OPERATOR-02".into(),
        fee_tax_basis_points: 1_250,
        accounts,
    };
    assert_eq!(catalogue.alliance.operator, operator);
    let lumen = &catalogue.partners[&slug("lumen")].accounts;
    assert_eq!(*lumen, Accounts { fee: "6601 X".into(), ..Accounts::standard() });
    assert_eq!(catalogue.partners[&slug("harvest")].accounts.bonus, "6601.08");
    assert_eq!(proposals::difference(&mut conn, &plan).expect("compared"), []);
}

/// A row from before there were such settings.
#[test]
fn what_a_row_leaves_out_is_the_built_in_one() {
    let (_database, mut conn, manifests) = founded("settings-bare");
    conn.batch_execute(
        "UPDATE alliance SET operator_entity = '', operator_tax_code = '', fee_tax_basis_points = 0, \
         operator_accounts = '{}'; \
         UPDATE partners SET accounts = '{}' WHERE slug = 'lumen'; \
         UPDATE partners SET accounts = '{\"tax\": \"1\"}' WHERE slug = 'nest'",
    )
    .expect("bare");
    let catalogue = load(&mut conn);
    assert_eq!(catalogue.alliance.operator, Operator::named("Lumen Alliance"));
    assert_eq!(catalogue.partners[&slug("lumen")].accounts, Accounts::standard());
    assert_eq!(catalogue.partners[&slug("nest")].accounts, Accounts { tax: "1".into(), ..Accounts::standard() });
    // Manifests that say nothing of it change nothing then.
    manifests.edit("alliance.toml", "[operator]", "legal_entity", "# legal_entity");
    manifests.edit("alliance.toml", "[operator]", "tax_code", "# tax_code");
    manifests.edit("alliance.toml", "[operator]", "fee_tax_percent", "# fee_tax_percent");
    let lines = proposals::difference(&mut conn, &manifests.plan()).expect("compared");
    assert_eq!(told(&lines), [["nest", "ledger accounts", "standard but tax 1", "standard"]]);
}

#[test]
fn the_database_itself_refuses_settings_that_are_none() {
    let (_database, mut conn, _manifests) = founded("settings-refused");
    for (sql, constraint) in [
        ("UPDATE alliance SET cycle = 'yearly'", "alliance_cycle_known"),
        ("UPDATE alliance SET netting = ''", "alliance_netting_known"),
        ("UPDATE alliance SET rounding = 'up'", "alliance_rounding_known"),
        ("UPDATE alliance SET cut_off_days = -1", "alliance_cut_off_range"),
        ("UPDATE alliance SET due_days = 29", "alliance_due_range"),
        ("UPDATE alliance SET draft_days = 9", "alliance_days_order"),
        ("UPDATE alliance SET cut_off_days = 2, draft_days = 2, due_days = 1", "alliance_days_order"),
        ("UPDATE alliance SET fee_tax_basis_points = 10001", "alliance_fee_tax_range"),
        ("UPDATE alliance SET operator_accounts = '{\"fees\": \"1\"}'", "alliance_operator_accounts_named"),
        ("UPDATE partners SET accounts = '[]'", "partners_accounts_named"),
    ] {
        let refused = conn.batch_execute(sql).expect_err(sql).to_string();
        assert!(refused.contains(constraint), "{sql}: {refused}");
    }
    assert_eq!(count(&mut conn, "alliance WHERE cycle = 'monthly' AND due_days = 10"), 1);
}
