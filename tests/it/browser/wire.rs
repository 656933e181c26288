//! The part of WebDriver that the tests speak (W3C WebDriver, Level 2), by hand: the library there is would turn on features
//! of others that the product is built without.

use serde_json::{Value, json};

/// What an element is called in answers (§12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with a driver; ended with it.
pub struct Wire {
    http: reqwest::blocking::Client,
    session: String,
}

/// An element of the page as it stands.
#[derive(Clone, Debug)]
pub struct Element(String);

/// What the driver says when something cannot be done: its error and message.
pub type Answer<T> = Result<T, String>;

impl Wire {
    /// A new browser of the driver at `url`.
    pub fn open(url: &str, capabilities: &Value) -> Answer<Wire> {
        let http = reqwest::blocking::Client::builder().timeout(std::time::Duration::from_secs(120)).build();
        let http = http.map_err(|cause| cause.to_string())?;
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let opened = send(http.post(format!("{url}/session")), Some(&wanted))?;
        let id = opened["sessionId"].as_str().ok_or("no session")?.to_owned();
        Ok(Wire { http, session: format!("{url}/session/{id}") })
    }

    pub fn get(&self, path: &str) -> Answer<Value> {
        send(self.http.get(format!("{}/{path}", self.session)), None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer<Value> {
        send(self.http.post(format!("{}/{path}", self.session)), Some(body))
    }

    pub fn find(&self, css: &str) -> Answer<Element> {
        let found = self.post("element", &json!({ "using": "css selector", "value": css }))?;
        Ok(Element(found[ELEMENT].as_str().ok_or("no element")?.to_owned()))
    }

    /// What is done to an element: `click`, `clear`, `value`.
    pub fn act(&self, element: &Element, what: &str, body: &Value) -> Answer<()> {
        self.post(&format!("element/{}/{what}", element.0), body).map(drop)
    }

    pub fn text(&self, element: &Element) -> Answer<String> {
        let text = self.get(&format!("element/{}/text", element.0))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a script; `how` is `sync` or `async`.
    pub fn run(&self, how: &str, script: &str) -> Answer<Value> {
        self.post(&format!("execute/{how}"), &json!({ "script": script, "args": [] }))
    }

    /// Keys pressed one after the other, wherever the page is.
    pub fn keys(&self, keys: &str) -> Answer<()> {
        let pressed = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": pressed.collect::<Vec<_>>() });
        self.post("actions", &json!({ "actions": [keyboard] })).map(drop)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = send(self.http.delete(&self.session), None);
    }
}

fn send(request: reqwest::blocking::RequestBuilder, body: Option<&Value>) -> Answer<Value> {
    let request =
        body.map_or_else(|| request.try_clone(), |body| request.try_clone().map(|request| request.json(body)));
    let answer = request.ok_or("no request")?.send().map_err(|cause| cause.to_string())?;
    let is_done = answer.status().is_success();
    let mut answer: Value = answer.json().map_err(|cause| cause.to_string())?;
    let value = answer["value"].take();
    if is_done { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
}
