//! Expressions, by operator precedence.

use super::{Compiler, FunctionKind};
use crate::bytecode::op;
use crate::proto::Constant;
use crate::token::TokenKind;

/// The most arguments of a call.
const ARGUMENTS_MAX: u8 = 255;

/// How tightly an operator binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    None,
    Assignment,
    Or,
    And,
    Equality,
    Comparison,
    Term,
    Factor,
    Unary,
    Call,
}

impl Precedence {
    /// That of `kind` between two operands or after one.
    fn of(kind: TokenKind) -> Precedence {
        match kind {
            TokenKind::Or => Precedence::Or,
            TokenKind::And => Precedence::And,
            TokenKind::BangEqual | TokenKind::EqualEqual => Precedence::Equality,
            TokenKind::Greater
            | TokenKind::GreaterEqual
            | TokenKind::Less
            | TokenKind::LessEqual => Precedence::Comparison,
            TokenKind::Minus | TokenKind::Plus => Precedence::Term,
            TokenKind::Slash | TokenKind::Star => Precedence::Factor,
            TokenKind::LeftParen | TokenKind::Dot => Precedence::Call,
            _ => Precedence::None,
        }
    }
}

impl<'s> Compiler<'s> {
    pub(super) fn expression(&mut self) {
        self.parse_precedence(Precedence::Assignment);
    }

    /// Parses an expression whose operators bind at least as tightly as `precedence`.
    fn parse_precedence(&mut self, precedence: Precedence) {
        self.nested(|compiler| {
            compiler.advance();
            let can_assign = precedence <= Precedence::Assignment;
            if !compiler.prefix(can_assign) {
                compiler.error("Expect expression.");
                return;
            }
            while Precedence::of(compiler.current.kind) >= precedence {
                compiler.advance();
                compiler.infix(can_assign);
            }
            if can_assign && compiler.matches(TokenKind::Equal) {
                compiler.error("Invalid assignment target.");
            }
        });
    }

    /// Parses what begins with the previous token; false if nothing can.
    fn prefix(&mut self, can_assign: bool) -> bool {
        match self.previous.kind {
            TokenKind::LeftParen => {
                self.expression();
                self.consume(TokenKind::RightParen, "Expect ')' after expression.");
            }
            TokenKind::Minus => {
                self.parse_precedence(Precedence::Unary);
                let (builder, line) = self.emit();
                builder.negate(line);
            }
            TokenKind::Bang => {
                self.parse_precedence(Precedence::Unary);
                let (builder, line) = self.emit();
                builder.not(line);
            }
            TokenKind::Identifier => self.named_variable(self.previous.lexeme, can_assign),
            TokenKind::String => {
                let lexeme = self.previous.lexeme;
                self.literal(Constant::String(lexeme[1..lexeme.len() - 1].into()));
            }
            TokenKind::Number => {
                let number = self.previous.lexeme.parse();
                self.literal(Constant::Number(number.expect("digits make a number")));
            }
            TokenKind::Nil => self.simple(op::NIL),
            TokenKind::True => self.simple(op::TRUE),
            TokenKind::False => self.simple(op::FALSE),
            TokenKind::This => self.this(),
            TokenKind::Super => self.super_method(),
            _ => return false,
        }
        true
    }

    /// Parses what goes on with the previous token, after an operand.
    fn infix(&mut self, can_assign: bool) {
        match self.previous.kind {
            TokenKind::LeftParen => {
                let arguments = self.arguments();
                let (builder, line) = self.emit();
                builder.call(arguments, line);
            }
            TokenKind::Dot => self.property(can_assign),
            TokenKind::And => {
                let (builder, line) = self.emit();
                let end = builder.and(line);
                self.parse_precedence(Precedence::And);
                self.patch(end);
            }
            TokenKind::Or => {
                let (builder, line) = self.emit();
                let end = builder.or(line);
                self.parse_precedence(Precedence::Or);
                self.patch(end);
            }
            operator => self.binary(operator),
        }
    }

    fn binary(&mut self, operator: TokenKind) {
        // The right operand binds one step tighter, so that operators group to the left.
        let (operation, tighter) = match operator {
            TokenKind::EqualEqual => (op::EQUAL, Precedence::Comparison),
            TokenKind::BangEqual => (op::NOT_EQUAL, Precedence::Comparison),
            TokenKind::Greater => (op::GREATER, Precedence::Term),
            TokenKind::GreaterEqual => (op::GREATER_EQUAL, Precedence::Term),
            TokenKind::Less => (op::LESS, Precedence::Term),
            TokenKind::LessEqual => (op::LESS_EQUAL, Precedence::Term),
            TokenKind::Plus => (op::ADD, Precedence::Factor),
            TokenKind::Minus => (op::SUBTRACT, Precedence::Factor),
            TokenKind::Star => (op::MULTIPLY, Precedence::Unary),
            TokenKind::Slash => (op::DIVIDE, Precedence::Unary),
            _ => unreachable!("not an operator: {operator:?}"),
        };
        self.parse_precedence(tighter);
        let (builder, line) = self.emit();
        match operation {
            op::ADD | op::SUBTRACT | op::MULTIPLY => builder.arithmetic(operation, line),
            _ => builder.binary(operation, line),
        }
    }

    fn literal(&mut self, constant: Constant) {
        let index = self.constant(constant);
        let (builder, line) = self.emit();
        builder.constant(index, line);
    }

    fn simple(&mut self, operation: u8) {
        let (builder, line) = self.emit();
        builder.literal(operation, line);
    }

    fn this(&mut self) {
        if self.classes.is_empty() {
            self.error("Can't use 'this' outside of a class.");
            return;
        }
        self.named_variable("this", false);
    }

    fn super_method(&mut self) {
        match self.classes.last() {
            None => self.error("Can't use 'super' outside of a class."),
            Some(class) if !class.has_superclass => {
                self.error("Can't use 'super' in a class with no superclass.");
            }
            Some(_) => {}
        }
        self.consume(TokenKind::Dot, "Expect '.' after 'super'.");
        self.consume(TokenKind::Identifier, "Expect superclass method name.");
        let site = self.site(self.previous.lexeme);
        self.named_variable("this", false);
        if self.matches(TokenKind::LeftParen) {
            let arguments = self.arguments();
            self.named_variable("super", false);
            let (builder, line) = self.emit();
            builder.invoke_super(site, arguments, line);
        } else {
            self.named_variable("super", false);
            let (builder, line) = self.emit();
            builder.get_super(site, line);
        }
    }

    fn property(&mut self, can_assign: bool) {
        self.consume(TokenKind::Identifier, "Expect property name after '.'.");
        let name = self.previous.lexeme;
        let site = self.site(name);
        if can_assign && self.matches(TokenKind::Equal) {
            self.note_field(name);
            self.expression();
            let (builder, line) = self.emit();
            builder.set_property(site, line);
        } else if self.matches(TokenKind::LeftParen) {
            let arguments = self.arguments();
            let (builder, line) = self.emit();
            builder.invoke(site, arguments, line);
        } else {
            let (builder, line) = self.emit();
            builder.get_property(site, line);
        }
    }

    /// Notes the field `name` of the object on top if that is `this` in an initializer: new instances
    /// will have it.
    fn note_field(&mut self, name: &'s str) {
        let function = self.function();
        let is_of_new =
            function.kind == FunctionKind::Initializer && function.builder.ends_with_local(0);
        if let (true, Some(class)) = (is_of_new, self.classes.last_mut()) {
            if !class.fields.contains(&name) {
                class.fields.push(name);
            }
        }
    }

    /// Parses arguments after the parenthesis that opens them; gives their number.
    fn arguments(&mut self) -> u8 {
        let mut count: u8 = 0;
        if !self.check(TokenKind::RightParen) {
            loop {
                self.expression();
                if count == ARGUMENTS_MAX {
                    self.error("Can't have more than 255 arguments.");
                }
                count = count.saturating_add(1);
                if !self.matches(TokenKind::Comma) {
                    break;
                }
            }
        }
        self.consume(TokenKind::RightParen, "Expect ')' after arguments.");
        count
    }
}
