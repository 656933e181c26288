//! A source file as words and signs, without its comments and literals, so that a rule never trips over a text.

/// One word, number or sign, and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// A number; `Float` when it has a fraction or an exponent, or says so.
    Whole,
    Float,
    Sign,
    /// Strings, characters and lifetimes: their text is dropped.
    Literal,
}

/// A file by its path from the crate's folder, such as `src/book/lane.rs`.
pub struct Source {
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }

    /// The modules this file is, `["book", "lane"]`; empty for `lib.rs`, `main.rs` and files outside `src`.
    pub fn modules(&self) -> Vec<&str> {
        let Some(inside) = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")) else {
            return Vec::new();
        };
        let mut modules: Vec<&str> = inside.split('/').collect();
        if matches!(modules.last(), Some(&("mod" | "lib" | "main" | "build"))) {
            modules.pop();
        }
        modules
    }

    /// For each token the inline modules around it, such as `["tests"]`.
    pub fn inline_modules(&self) -> Vec<Vec<&str>> {
        let mut open: Vec<(usize, &str)> = Vec::new();
        let mut depth = 0;
        let mut around = Vec::with_capacity(self.tokens.len());
        for (at, token) in self.tokens.iter().enumerate() {
            match token.text.as_str() {
                "{" if token.kind == Kind::Sign => {
                    if at >= 2 && self.tokens[at - 2].text == "mod" {
                        open.push((depth, &self.tokens[at - 1].text));
                    }
                    depth += 1;
                }
                "}" if token.kind == Kind::Sign => {
                    depth -= 1;
                    open.pop_if(|(opened, _)| *opened == depth);
                }
                _ => {}
            }
            around.push(open.iter().map(|(_, name)| *name).collect());
        }
        around
    }

    /// True when the texts of the tokens from `at` are these.
    pub fn reads(&self, at: usize, texts: &[&str]) -> bool {
        let found = self.tokens.get(at..at + texts.len());
        found.is_some_and(|found| found.iter().zip(texts).all(|(token, text)| token.text == *text))
    }

    /// The place after the sign that closes the one at `open`.
    pub fn after_group(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.text.as_str() {
                "{" | "(" | "[" if token.kind == Kind::Sign => depth += 1,
                "}" | ")" | "]" if token.kind == Kind::Sign => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn push(&mut self, line: usize, text: String, kind: Kind) {
        self.tokens.push(Token { line, text, kind });
    }

    fn step(&mut self) {
        let (c, next, line) = (self.peek(0), self.peek(1), self.line);
        match c {
            '/' if next == '/' => while self.at < self.chars.len() && self.bump() != '\n' {},
            '/' if next == '*' => self.block_comment(),
            '"' => self.string(0),
            '\'' => self.quote(),
            'r' | 'b' | 'c' if self.literal_prefix() > 0 => self.prefixed_literal(),
            c if c.is_alphabetic() || c == '_' => {
                let text = self.word();
                self.push(line, text, Kind::Word);
            }
            c if c.is_ascii_digit() => self.number(),
            c if c.is_whitespace() => {
                self.bump();
            }
            ':' if next == ':' => {
                self.at += 2;
                self.push(line, "::".to_owned(), Kind::Sign);
            }
            c => {
                self.bump();
                self.push(line, c.to_string(), Kind::Sign);
            }
        }
    }

    fn word(&mut self) -> String {
        let mut text = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            text.push(self.bump());
        }
        text
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => (depth, self.at) = (depth + 1, self.at + 2),
                ('*', '/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => {
                    self.bump();
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// How many characters of `r`, `br`, `b`, `c`… stand before a quote here; 0 when this is a plain word.
    fn literal_prefix(&self) -> usize {
        for (length, prefix) in [(2, "br"), (2, "cr"), (1, "r"), (1, "b"), (1, "c")] {
            if !prefix.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == c) {
                continue;
            }
            let mut ahead = length;
            while prefix.ends_with('r') && self.peek(ahead) == '#' {
                ahead += 1;
            }
            if self.peek(ahead) == '"' || (prefix == "b" && self.peek(1) == '\'') {
                return length;
            }
        }
        0
    }

    fn prefixed_literal(&mut self) {
        let length = self.literal_prefix();
        let raw = self.peek(length - 1) == 'r';
        self.at += length;
        if raw {
            let mut hashes = 0;
            while self.peek(0) == '#' {
                (hashes, self.at) = (hashes + 1, self.at + 1);
            }
            return self.raw_string(hashes);
        }
        if self.peek(0) == '"' { self.string(0) } else { self.quote() }
    }

    fn string(&mut self, _: usize) {
        let line = self.line;
        self.bump();
        while self.at < self.chars.len() {
            match self.bump() {
                '\\' => {
                    self.bump();
                }
                '"' => break,
                _ => {}
            }
        }
        self.push(line, String::new(), Kind::Literal);
    }

    fn raw_string(&mut self, hashes: usize) {
        let line = self.line;
        self.bump();
        while self.at < self.chars.len() {
            if self.bump() == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                break;
            }
        }
        self.push(line, String::new(), Kind::Literal);
    }

    /// A character, or a lifetime, which has no closing quote.
    fn quote(&mut self) {
        let line = self.line;
        self.bump();
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.chars.len() && self.bump() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        } else {
            self.word();
        }
        self.push(line, String::new(), Kind::Literal);
    }

    fn number(&mut self) {
        let line = self.line;
        // `pair.0.1` is two fields, not a fraction.
        let field = self.tokens.last().is_some_and(|token| token.text == ".");
        let mut text = self.word();
        let mut kind = Kind::Whole;
        let fraction =
            self.peek(0) == '.' && self.peek(1) != '.' && !self.peek(1).is_alphabetic() && self.peek(1) != '_';
        if fraction && !field {
            text.push(self.bump());
            text.push_str(&self.word());
            kind = Kind::Float;
        }
        let decimal = !["0x", "0b", "0o"].iter().any(|prefix| text.starts_with(prefix));
        if decimal
            && (text.contains(['e', 'E']) && !text.ends_with("size") || text.ends_with("f32") || text.ends_with("f64"))
        {
            kind = Kind::Float;
        }
        self.push(line, text, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let words = tokens(text).into_iter().filter(|token| token.kind == Kind::Word);
        words.map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_words() {
        let text = r##"let a /* b /* c */ d */ = "e \" f"; // g
            let h = 'i'; let k: &'l str = r#"m " n"#; let o = b'\''; let p = b"q"; let r = '\u{7f}'; r + radix"##;
        assert_eq!(
            words(text),
            ["let", "a", "let", "h", "let", "k", "str", "let", "o", "let", "p", "let", "r", "r", "radix"]
        );
    }

    #[test]
    fn a_float_is_told_from_a_range_a_field_and_a_method() {
        let floats = |text: &str| tokens(text).iter().filter(|token| token.kind == Kind::Float).count();
        for text in ["1.0", "1.", "1e3", "2f64", "1_000.5", "3E-2"] {
            assert_eq!(floats(text), 1, "{text}");
        }
        for text in ["0..5", "a.0.1", "1.max(2)", "0xe3", "7usize", "10_000_u64", "0x1f32"] {
            assert_eq!(floats(text), 0, "{text}");
        }
    }

    #[test]
    fn lines_and_inline_modules_are_known() {
        let source = Source::new("src/a/b.rs", "fn x() {}\nmod tests {\n    fn y() {}\n}\nfn z() {}");
        let find = |name: &str| source.tokens.iter().position(|token| token.text == name).expect("there");
        assert_eq!(source.tokens[find("y")].line, 3);
        let around = source.inline_modules();
        assert_eq!(
            (around[find("x")].len(), around[find("y")].clone(), around[find("z")].len()),
            (0, vec!["tests"], 0)
        );
        assert_eq!(source.modules(), ["a", "b"]);
        assert_eq!(Source::new("src/a/mod.rs", "").modules(), ["a"]);
        assert!(Source::new("src/lib.rs", "").modules().is_empty());
    }
}
