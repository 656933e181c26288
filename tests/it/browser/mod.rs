//! Pages in a real Chromium, driven through WebDriver: what people see and press, in both languages, on a phone and a desk.
//!
//! `HANSE_SCREENSHOTS=docs/images` keeps the pictures that the documents show.

mod member;

use crate::settlement::interop::Libraries;
use crate::support::{Scratch, poll, scratch};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use thirtyfour::prelude::*;

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
    runtime: tokio::runtime::Runtime,
    driver: Option<WebDriver>,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let driver = runtime.block_on(WebDriver::new(url, capabilities(&folder, setting))).expect("the browser starts");
        Some(Chromium { runtime, driver: Some(driver), process, folder })
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("until it is dropped")
    }

    pub fn goto(&self, url: &str) {
        self.runtime.block_on(self.driver().goto(url)).expect("a page");
    }

    pub fn address(&self) -> String {
        self.runtime.block_on(self.driver().current_url()).expect("an address").to_string()
    }

    /// The element, once it is there.
    #[track_caller]
    pub fn find(&self, css: &str) -> WebElement {
        let look = || self.runtime.block_on(self.driver().find(By::Css(css.to_owned()))).ok();
        poll(&format!("{css} at {}", self.address()), PATIENCE, look)
    }

    pub fn is_there(&self, css: &str) -> bool {
        self.runtime.block_on(self.driver().find(By::Css(css.to_owned()))).is_ok()
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let pressed = || {
            let element = self.find(css);
            // By a script, where there are any.
            let _ = self.runtime.block_on(element.scroll_into_view());
            self.runtime.block_on(element.click()).ok()
        };
        poll(&format!("{css} can be pressed"), PATIENCE, pressed);
    }

    /// Presses it with the keyboard, as where no script can bring it into view.
    #[track_caller]
    pub fn press(&self, css: &str) {
        let element = self.find(css);
        self.runtime.block_on(element.send_keys("\u{e007}")).expect("pressed");
    }

    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.runtime.block_on(async {
            element.clear().await.expect("emptied");
            element.send_keys(text).await.expect("typed");
        });
    }

    /// Keys, wherever the page is.
    pub fn type_keys(&self, keys: &str) {
        let typed = self.runtime.block_on(self.driver().action_chain().send_keys(keys).perform());
        typed.expect("typed");
    }

    /// What people read there, once it is this.
    #[track_caller]
    pub fn reads(&self, css: &str, text: &str) {
        let read = || {
            let element = self.runtime.block_on(self.driver().find(By::Css(css.to_owned()))).ok()?;
            let read = self.runtime.block_on(element.text()).ok()?;
            read.contains(text).then_some(())
        };
        poll(&format!("{css} at {} says {text:?}", self.address()), PATIENCE, read);
    }

    /// The text of an element.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let element = self.find(css);
        self.runtime.block_on(element.text()).expect("a text")
    }

    /// What a script answers.
    pub fn run(&self, script: &str) -> Value {
        let answer = self.runtime.block_on(self.driver().execute(script, vec![])).expect("the script runs");
        answer.json().clone()
    }

    pub fn run_async(&self, script: &str) -> Value {
        let driver = self.driver();
        let answer = self.runtime.block_on(async {
            driver.set_script_timeout(Duration::from_secs(60)).await?;
            driver.execute_async(script, vec![]).await
        });
        answer.expect("the script ends").json().clone()
    }

    /// Keeps a picture of the page, where pictures are wanted.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("HANSE_SCREENSHOTS").map(PathBuf::from) else { return };
        let shot = self.runtime.block_on(self.driver().screenshot_as_png()).expect("a picture");
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
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(driver.quit());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn capabilities(folder: &Scratch, setting: Setting) -> Map<String, Value> {
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
    let all = json!({ "browserName": "chrome", "goog:chromeOptions": options });
    all.as_object().expect("an object").clone()
}

/// The accessibility checker, as npm brings it.
fn axe() -> Option<String> {
    if !Libraries::install().node {
        return None;
    }
    let file = scratch("interop").join("node_modules/axe-core/axe.min.js");
    Some(std::fs::read_to_string(file).expect("axe-core is installed"))
}
