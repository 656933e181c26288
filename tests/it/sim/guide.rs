//! `docs/adding-a-partner.md`, run as it is written against a demo.

use crate::demo::Demo;
use crate::readme::{blocks, run, script_of};
use crate::support::Scratch;
use std::net::TcpListener;

const PAGE: &str = include_str!("../../../docs/adding-a-partner.md");

#[test]
fn a_partner_is_added_as_the_guide_writes_it() {
    assert!(blocks(PAGE).iter().all(|(name, _)| name == "partner"));
    let demo = Demo::start("guide", &["--quiet", "--outbound-allow", "127.0.0.0/8"]);
    let home = Scratch::new("guide-partner");
    let ports = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = |place: usize| format!("127.0.0.1:{}", ports[place].local_addr().expect("bound").port());
    let [endpoint, control, alone, alone_control] = [0, 1, 2, 3].map(port);
    drop(ports);
    let data = demo.pki().parent().expect("a folder").display().to_string();
    let (own, program) = (home.path().display().to_string(), env!("CARGO_BIN_EXE_hanse"));
    let here = [
        ("https://127.0.0.1:8443", demo.api.as_str()),
        ("http://127.0.0.1:8080", demo.public.as_str()),
        (".hanse/bloom", &own),
        (".hanse/demo", &data),
        ("target/release/hanse", program),
        ("127.0.0.1:9511", &endpoint),
        ("127.0.0.1:9512", &control),
        ("127.0.0.1:9513", &alone),
        ("127.0.0.1:9514", &alone_control),
    ];
    let said = run(&script_of(PAGE, "partner", &here), home.path());
    for wanted in [
        r#""adds_up":true"#,
        " hold.",
        r#""debit_points":100,"credit_points":50,"#,
        r#""balance":50,"#,
        "it verifies 验证通过, counter-signed",
        "captured 转出",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
    assert!(demo.stop().success());
}
