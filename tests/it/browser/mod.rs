//! Pages in a real Chromium, driven through WebDriver: what people see and press, in both languages, on a phone and a desk.
//!
//! `HANSE_SCREENSHOTS=docs/images` keeps the pictures that the documents show.

mod every;
mod finance;
mod member;
mod operations;
mod partner;
mod pictures;
mod till;
mod wire;

use crate::api::Api;
use crate::settlement::interop::Libraries;
use crate::support::{Scratch, poll, scratch};
use crate::web::{PASSWORD, Person};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wire::{Element, Wire};

const PATIENCE: Duration = Duration::from_secs(20);

/// What kind of screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    Phone,
    Desk,
}

/// How a browser is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub screen: Screen,
    pub language: &'static str,
    pub script: bool,
    pub dark: bool,
}

impl Setting {
    pub const DESK: Setting = Setting { screen: Screen::Desk, language: "en", script: true, dark: false };
    pub const PHONE: Setting = Setting { screen: Screen::Phone, language: "zh-CN", script: true, dark: false };
}

/// A browser with its driver; both end with it.
pub struct Chromium {
    wire: Option<Wire>,
    process: Child,
    /// Profile and whatever is downloaded.
    pub folder: Scratch,
}

impl Chromium {
    /// `None` where there is no browser, unless what is missing is wrong.
    pub fn start(name: &str, setting: Setting) -> Option<Chromium> {
        let Some(program) = find("chromedriver") else {
            assert!(std::env::var_os("HANSE_TEST_INTEROP").is_none(), "chromedriver is missing: ./test installs it");
            return None;
        };
        // The driver's client is built with whatever this process uses.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = Scratch::new(name);
        let mut process = Command::new(program);
        process.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = process.spawn().expect("the driver starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok());
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://127.0.0.1:{}", port.expect("a port"));
        let wire = Wire::open(&url, &capabilities(&folder, setting)).expect("the browser starts");
        Some(Chromium { wire: Some(wire), process, folder })
    }

    fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("until it is dropped")
    }

    pub fn goto(&self, url: &str) {
        self.wire().post("url", &json!({ "url": url })).expect("a page");
    }

    pub fn address(&self) -> String {
        self.wire().get("url").expect("an address").as_str().unwrap_or_default().to_owned()
    }

    /// The element, once it is there.
    #[track_caller]
    pub fn find(&self, css: &str) -> Element {
        let look = || self.wire().find(css).ok();
        poll(&format!("{css} at {}", self.address()), PATIENCE, look)
    }

    /// Signs in at the door, as a person does.
    #[track_caller]
    pub fn sign_in(&self, api: &Api, person: &Person) {
        api.forget_codes();
        self.goto(&format!("http://{}/sign-in", api.pages()));
        self.type_into("#login", &person.login);
        self.type_into("#password", PASSWORD);
        self.type_into("#code", &person.code());
        self.click("form button");
        self.find("nav.places");
    }

    pub fn is_there(&self, css: &str) -> bool {
        self.wire().find(css).is_ok()
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let pressed = || {
            let element = self.wire().find(css).ok()?;
            // By a script, where there are any: what hangs over the page's end is not in the way of the middle.
            let _ = self
                .wire()
                .run("sync", &format!("document.querySelector({css:?}).scrollIntoView({{ block: 'center' }})"));
            self.wire().act(&element, "click", &json!({})).ok()
        };
        poll(&format!("{css} can be pressed"), PATIENCE, pressed);
    }

    /// Presses it with the keyboard, as where no script can bring it into view.
    #[track_caller]
    pub fn press(&self, css: &str) {
        let element = self.find(css);
        self.wire().act(&element, "value", &json!({ "text": "\u{e007}" })).expect("pressed");
    }

    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css);
        // A field for files cannot be emptied, and need not be.
        let _ = self.wire().act(&element, "clear", &json!({}));
        self.wire().act(&element, "value", &json!({ "text": text })).expect("typed");
    }

    /// Keys, wherever the page is.
    pub fn type_keys(&self, keys: &str) {
        self.wire().keys(keys).expect("typed");
    }

    /// What people read there, once it is this.
    #[track_caller]
    pub fn reads(&self, css: &str, text: &str) {
        let read = || {
            let read = self.wire().text(&self.wire().find(css).ok()?).ok()?;
            read.contains(text).then_some(())
        };
        poll(&format!("{css} at {} says {text:?}", self.address()), PATIENCE, read);
    }

    /// The text of an element.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let element = self.find(css);
        self.wire().text(&element).expect("a text")
    }

    /// What a script answers.
    pub fn run(&self, script: &str) -> Value {
        self.wire().run("sync", script).expect("the script runs")
    }

    pub fn run_async(&self, script: &str) -> Value {
        self.wire().post("timeouts", &json!({ "script": 60_000 })).expect("patience");
        self.wire().run("async", script).expect("the script ends")
    }

    /// Keeps a picture of the page, where pictures are wanted.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("HANSE_SCREENSHOTS").map(PathBuf::from) else { return };
        let shot = self.wire().get("screenshot").expect("a picture");
        let shot = STANDARD.decode(shot.as_str().unwrap_or_default()).expect("base64");
        std::fs::write(folder.join(format!("{name}.png")), shot).expect("written");
    }

    /// Nothing serious on this page for people who cannot see, or use no mouse (axe-core, WCAG 2.2).
    #[track_caller]
    pub fn is_accessible(&self) {
        let Some(axe) = axe() else { return };
        self.run(&axe);
        let found = self.run_async(
            "const done = arguments[arguments.length - 1]; \
             axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations \
             .filter(one => ['serious', 'critical'].includes(one.impact)) \
             .map(one => one.id + ': ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))), cause => done(['axe: ' + cause]));",
        );
        assert_eq!(found, json!([]), "at {}", self.address());
    }

    /// That Chinese is drawn as Chinese: two signs look unlike each other, and unlike a sign that there is not.
    #[track_caller]
    pub fn draws_chinese(&self) {
        let drawn = self.run(
            "const font = getComputedStyle(document.body).fontFamily; const ink = sign => { \
             const canvas = document.createElement('canvas'); canvas.width = canvas.height = 40; \
             const pen = canvas.getContext('2d'); pen.font = '32px ' + font; pen.fillText(sign, 2, 34); \
             return Array.from(pen.getImageData(0, 0, 40, 40).data).join(); }; \
             const signs = ['积', '分', '汇', '\\u{10FFFD}'].map(ink); return new Set(signs).size;",
        );
        assert_eq!(drawn, json!(4), "boxes instead of signs");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        drop(self.wire.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn capabilities(folder: &Scratch, setting: Setting) -> Value {
    let profile = folder.path().join("profile");
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--window-size=1280,900",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--lang={}", setting.language));
    if setting.dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let mut options = json!({
        "args": arguments,
        "prefs": {
            "intl.accept_languages": setting.language,
            "download.default_directory": folder.path().join("downloads"),
            "profile.managed_default_content_settings.javascript": if setting.script { 1 } else { 2 },
        },
    });
    if setting.screen == Screen::Phone {
        options["mobileEmulation"] =
            json!({ "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true } });
    }
    json!({ "browserName": "chrome", "goog:chromeOptions": options })
}

/// The accessibility checker, as npm brings it.
fn axe() -> Option<String> {
    if !Libraries::install().node {
        return None;
    }
    let file = scratch("interop").join("node_modules/axe-core/axe.min.js");
    Some(std::fs::read_to_string(file).expect("axe-core is installed"))
}
