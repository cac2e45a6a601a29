//! The scanner: from source text to tokens, one at a time and without looking back.

use crate::token::{Token, TokenKind};

/// A position in the source, and the line it is on.
pub(crate) struct Scanner<'s> {
    source: &'s str,
    /// Where the token that is being scanned begins.
    start: usize,
    /// The next byte to look at. Between two tokens it is on a character boundary.
    position: usize,
    line: u32,
}

impl<'s> Scanner<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Scanner { source, start: 0, position: 0, line: 1 }
    }

    /// Passes over the rest of the source: the next token is the end of the file.
    pub(crate) fn finish(&mut self) {
        self.position = self.source.len();
    }

    /// The next token. After the last one, the end of the file over and over.
    pub(crate) fn next_token(&mut self) -> Token<'s> {
        self.skip_blanks();
        self.start = self.position;
        let Some(byte) = self.peek() else {
            return self.token(TokenKind::EndOfFile);
        };
        self.position += 1;
        match byte {
            b'(' => self.token(TokenKind::LeftParen),
            b')' => self.token(TokenKind::RightParen),
            b'{' => self.token(TokenKind::LeftBrace),
            b'}' => self.token(TokenKind::RightBrace),
            b',' => self.token(TokenKind::Comma),
            b'.' => self.token(TokenKind::Dot),
            b'-' => self.token(TokenKind::Minus),
            b'+' => self.token(TokenKind::Plus),
            b';' => self.token(TokenKind::Semicolon),
            b'/' => self.token(TokenKind::Slash),
            b'*' => self.token(TokenKind::Star),
            b'!' => self.with_equal(TokenKind::Bang, TokenKind::BangEqual),
            b'=' => self.with_equal(TokenKind::Equal, TokenKind::EqualEqual),
            b'>' => self.with_equal(TokenKind::Greater, TokenKind::GreaterEqual),
            b'<' => self.with_equal(TokenKind::Less, TokenKind::LessEqual),
            b'"' => self.string(),
            b'0'..=b'9' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            _ => {
                // The rest of a character of several bytes belongs to the same mistake.
                while !self.source.is_char_boundary(self.position) {
                    self.position += 1;
                }
                self.token(TokenKind::Error("Unexpected character."))
            }
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\r' | b'\t' => self.position += 1,
                b'\n' => {
                    self.line += 1;
                    self.position += 1;
                }
                b'/' if self.peek_second() == Some(b'/') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.position += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn with_equal(&mut self, alone: TokenKind, with_equal: TokenKind) -> Token<'s> {
        if self.peek() == Some(b'=') {
            self.position += 1;
            self.token(with_equal)
        } else {
            self.token(alone)
        }
    }

    fn string(&mut self) -> Token<'s> {
        while let Some(byte) = self.peek() {
            self.position += 1;
            match byte {
                b'"' => return self.token(TokenKind::String),
                b'\n' => self.line += 1,
                _ => {}
            }
        }
        self.token(TokenKind::Error("Unterminated string."))
    }

    fn number(&mut self) -> Token<'s> {
        self.digits();
        if self.peek() == Some(b'.') && self.peek_second().is_some_and(|b| b.is_ascii_digit()) {
            self.position += 1;
            self.digits();
        }
        self.token(TokenKind::Number)
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
    }

    fn word(&mut self) -> Token<'s> {
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.position += 1;
        }
        self.token(TokenKind::of_word(&self.source[self.start..self.position]))
    }

    fn token(&self, kind: TokenKind) -> Token<'s> {
        Token { kind, lexeme: &self.source[self.start..self.position], line: self.line }
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.position).copied()
    }

    fn peek_second(&self) -> Option<u8> {
        self.source.as_bytes().get(self.position + 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(source: &str) -> Vec<(TokenKind, &str, u32)> {
        let mut scanner = Scanner::new(source);
        let mut tokens = Vec::new();
        loop {
            let token = scanner.next_token();
            if token.kind == TokenKind::EndOfFile {
                return tokens;
            }
            tokens.push((token.kind, token.lexeme, token.line));
        }
    }

    fn kinds(source: &str) -> Vec<TokenKind> {
        scan(source).into_iter().map(|token| token.0).collect()
    }

    #[test]
    fn operators_take_the_longest_match() {
        use TokenKind::*;
        assert_eq!(
            kinds("!= ! = == ===<=<>=>"),
            [
                BangEqual,
                Bang,
                Equal,
                EqualEqual,
                EqualEqual,
                Equal,
                LessEqual,
                Less,
                GreaterEqual,
                Greater
            ]
        );
        assert_eq!(
            kinds("(){},.-+;/*"),
            [
                LeftParen, RightParen, LeftBrace, RightBrace, Comma, Dot, Minus, Plus, Semicolon,
                Slash, Star
            ]
        );
    }

    #[test]
    fn keywords_are_whole_words() {
        use TokenKind::*;
        assert_eq!(
            kinds("and class else false for fun if nil or print return super this true var while"),
            [
                And, Class, Else, False, For, Fun, If, Nil, Or, Print, Return, Super, This, True,
                Var, While
            ]
        );
        assert_eq!(
            kinds("andy _or thisone While super2"),
            [Identifier; 5],
            "words that contain a keyword"
        );
    }

    #[test]
    fn a_number_has_digits_on_both_sides_of_its_point() {
        use TokenKind::*;
        assert_eq!(scan("12.5"), [(Number, "12.5", 1)]);
        assert_eq!(scan("12."), [(Number, "12", 1), (Dot, ".", 1)]);
        assert_eq!(scan(".5"), [(Dot, ".", 1), (Number, "5", 1)]);
        assert_eq!(scan("1.2.3"), [(Number, "1.2", 1), (Dot, ".", 1), (Number, "3", 1)]);
        assert_eq!(scan("1e5"), [(Number, "1", 1), (Identifier, "e5", 1)]);
    }

    #[test]
    fn a_string_may_run_over_lines_and_ends_on_its_last() {
        assert_eq!(
            scan("\"a\nb\" x"),
            [(TokenKind::String, "\"a\nb\"", 2), (TokenKind::Identifier, "x", 2)]
        );
        assert_eq!(scan("\"tail\n"), [(TokenKind::Error("Unterminated string."), "\"tail\n", 2)]);
        assert_eq!(scan("\"日本\""), [(TokenKind::String, "\"日本\"", 1)]);
    }

    #[test]
    fn comments_run_to_the_end_of_the_line_or_of_the_file() {
        assert_eq!(scan("// über\nx // y"), [(TokenKind::Identifier, "x", 2)]);
        assert_eq!(scan("//"), []);
    }

    #[test]
    fn a_character_of_several_bytes_is_one_error() {
        let unexpected = TokenKind::Error("Unexpected character.");
        assert_eq!(scan("é"), [(unexpected, "é", 1)]);
        assert_eq!(scan("a\0b").len(), 3);
        assert_eq!(scan("|"), [(unexpected, "|", 1)]);
    }

    #[test]
    fn the_end_of_the_file_comes_again_and_again() {
        let mut scanner = Scanner::new("x");
        scanner.next_token();
        for _ in 0..3 {
            assert_eq!(scanner.next_token().kind, TokenKind::EndOfFile);
        }
    }
}
