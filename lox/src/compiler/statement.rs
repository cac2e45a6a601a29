//! Declarations and statements.

use super::jump::Label;
use super::variable::FunctionScope;
use super::{ClassScope, Compiler, FunctionKind};
use crate::bytecode::op;
use crate::proto::Constant;
use crate::token::TokenKind;

/// The most parameters of a function.
const PARAMETERS_MAX: usize = 255;

impl<'s> Compiler<'s> {
    pub(super) fn declaration(&mut self) {
        if self.matches(TokenKind::Class) {
            self.class_declaration();
        } else if self.matches(TokenKind::Fun) {
            self.function_declaration();
        } else if self.matches(TokenKind::Var) {
            self.variable_declaration();
        } else {
            self.statement();
        }
        if self.panicking {
            self.synchronize();
        }
    }

    fn variable_declaration(&mut self) {
        let name = self.variable_name("Expect variable name.");
        if self.matches(TokenKind::Equal) {
            self.expression();
        } else {
            let (builder, line) = self.emit();
            builder.literal(op::NIL, line);
        }
        self.consume(TokenKind::Semicolon, "Expect ';' after variable declaration.");
        self.define_variable(name);
    }

    fn function_declaration(&mut self) {
        let name = self.variable_name("Expect function name.");
        // A function may call itself.
        self.function().mark_initialized();
        self.function_body(FunctionKind::Function);
        self.define_variable(name);
    }

    /// Compiles parameters and body of the function named by the previous token; emits its closure.
    fn function_body(&mut self, kind: FunctionKind) {
        let name = self.previous.lexeme;
        self.functions.push(FunctionScope::new(kind, Some(name)));
        self.function().block_depth += 1;
        self.nested(|compiler| {
            compiler.parameters();
            compiler.consume(TokenKind::LeftBrace, "Expect '{' before function body.");
            compiler.block();
        });
        let (function, captured) = self.finish_function();
        let index = self.constant(Constant::Function(function));
        let (builder, line) = self.emit();
        builder.closure(index, captured, line);
    }

    fn parameters(&mut self) {
        self.consume(TokenKind::LeftParen, "Expect '(' after function name.");
        let mut count = 0;
        if !self.check(TokenKind::RightParen) {
            loop {
                count += 1;
                if count > PARAMETERS_MAX {
                    self.error_at_current("Can't have more than 255 parameters.");
                }
                let name = self.variable_name("Expect parameter name.");
                self.define_variable(name);
                self.function().builder.add_parameter();
                if !self.matches(TokenKind::Comma) {
                    break;
                }
            }
        }
        self.consume(TokenKind::RightParen, "Expect ')' after parameters.");
    }

    fn class_declaration(&mut self) {
        self.consume(TokenKind::Identifier, "Expect class name.");
        let name = self.previous.lexeme;
        let constant = self.string_constant(name);
        self.declare_variable();
        let (builder, line) = self.emit();
        let class = builder.class(constant, line);
        self.define_variable(name);

        self.classes.push(ClassScope { has_superclass: false, fields: Vec::new() });
        if self.matches(TokenKind::Less) {
            self.superclass(name);
        }
        // The class stays on the stack while its methods are added.
        self.named_variable(name, false);
        self.consume(TokenKind::LeftBrace, "Expect '{' before class body.");
        while !self.check(TokenKind::RightBrace) && !self.check(TokenKind::EndOfFile) {
            self.method();
        }
        self.consume(TokenKind::RightBrace, "Expect '}' after class body.");
        let (builder, line) = self.emit();
        builder.pop(line);
        let scope = self.classes.pop().expect("pushed above");
        let (builder, _) = self.emit();
        builder.set_field_count(class, scope.fields.len());
        if scope.has_superclass {
            self.end_block();
        }
    }

    /// Parses the superclass of class `name`, which becomes a local `super` around its methods.
    fn superclass(&mut self, name: &'s str) {
        self.consume(TokenKind::Identifier, "Expect superclass name.");
        let superclass = self.previous.lexeme;
        self.named_variable(superclass, false);
        if superclass == name {
            self.error("A class can't inherit from itself.");
        }
        self.begin_block();
        self.add_local("super");
        self.define_variable("super");
        self.named_variable(name, false);
        let (builder, line) = self.emit();
        builder.inherit(line);
        if let Some(class) = self.classes.last_mut() {
            class.has_superclass = true;
        }
    }

    fn method(&mut self) {
        self.consume(TokenKind::Identifier, "Expect method name.");
        let name = self.previous.lexeme;
        let constant = self.string_constant(name);
        let kind = if name == "init" { FunctionKind::Initializer } else { FunctionKind::Method };
        self.function_body(kind);
        let (builder, line) = self.emit();
        builder.method(constant, line);
    }

    fn statement(&mut self) {
        self.nested(|compiler| {
            if compiler.matches(TokenKind::Print) {
                compiler.print_statement();
            } else if compiler.matches(TokenKind::For) {
                compiler.for_statement();
            } else if compiler.matches(TokenKind::If) {
                compiler.if_statement();
            } else if compiler.matches(TokenKind::Return) {
                compiler.return_statement();
            } else if compiler.matches(TokenKind::While) {
                compiler.while_statement();
            } else if compiler.matches(TokenKind::LeftBrace) {
                compiler.begin_block();
                compiler.block();
                compiler.end_block();
            } else {
                compiler.expression_statement();
            }
        });
    }

    /// The rest of a block after its opening brace.
    fn block(&mut self) {
        while !self.check(TokenKind::RightBrace) && !self.check(TokenKind::EndOfFile) {
            self.declaration();
        }
        self.consume(TokenKind::RightBrace, "Expect '}' after block.");
    }

    fn begin_block(&mut self) {
        self.function().block_depth += 1;
    }

    fn end_block(&mut self) {
        let line = self.previous.line;
        self.function().end_block(line);
    }

    fn print_statement(&mut self) {
        self.expression();
        self.consume(TokenKind::Semicolon, "Expect ';' after value.");
        let (builder, line) = self.emit();
        builder.print(line);
    }

    fn expression_statement(&mut self) {
        self.expression();
        self.consume(TokenKind::Semicolon, "Expect ';' after expression.");
        let (builder, line) = self.emit();
        builder.pop(line);
    }

    fn return_statement(&mut self) {
        let kind = self.function().kind;
        if kind == FunctionKind::Script {
            self.error("Can't return from top-level code.");
        }
        if self.matches(TokenKind::Semicolon) {
            let (builder, line) = self.emit();
            builder.return_nothing(line);
            return;
        }
        if kind == FunctionKind::Initializer {
            self.error("Can't return a value from an initializer.");
        }
        self.expression();
        self.consume(TokenKind::Semicolon, "Expect ';' after return value.");
        let (builder, line) = self.emit();
        builder.return_top(line);
    }

    fn if_statement(&mut self) {
        self.consume(TokenKind::LeftParen, "Expect '(' after 'if'.");
        self.expression();
        self.consume(TokenKind::RightParen, "Expect ')' after condition.");
        let (builder, line) = self.emit();
        let to_else = builder.jump_if_false(line);
        self.statement();
        if self.check(TokenKind::Else) {
            let (builder, line) = self.emit();
            let to_end = builder.jump(line);
            self.patch(to_else);
            self.advance();
            self.statement();
            self.patch(to_end);
        } else if !self.function().builder.patch_without_else(to_else) {
            self.error("Too much code to jump over.");
        }
    }

    fn while_statement(&mut self) {
        let start = self.function().builder.label();
        self.consume(TokenKind::LeftParen, "Expect '(' after 'while'.");
        self.expression();
        self.consume(TokenKind::RightParen, "Expect ')' after condition.");
        let (builder, line) = self.emit();
        let to_end = builder.jump_if_false(line);
        self.statement();
        self.count_loop(start);
        let (builder, line) = self.emit();
        builder.emit_loop(start, line);
        self.patch(to_end);
    }

    fn for_statement(&mut self) {
        self.begin_block();
        self.consume(TokenKind::LeftParen, "Expect '(' after 'for'.");
        if self.matches(TokenKind::Semicolon) {
            // Nothing to begin with.
        } else if self.matches(TokenKind::Var) {
            self.variable_declaration();
        } else {
            self.expression_statement();
        }

        let start = self.function().builder.label();
        let mut to_end = None;
        if !self.matches(TokenKind::Semicolon) {
            self.expression();
            self.consume(TokenKind::Semicolon, "Expect ';' after loop condition.");
            let (builder, line) = self.emit();
            to_end = Some(builder.jump_if_false(line));
        }

        if self.matches(TokenKind::RightParen) {
            self.statement();
            self.count_loop(start);
        } else {
            self.increment_and_body(start);
        }
        let (builder, line) = self.emit();
        builder.emit_loop(start, line);
        if let Some(to_end) = to_end {
            self.patch(to_end);
        }
        self.end_block();
    }

    /// The increment of a `for`, then its body, in the order of the source. A single pass emits
    /// them in that order, with jumps that make the increment run last; here it is cut out and put
    /// behind the body, and the jumps are only counted.
    fn increment_and_body(&mut self, start: Label) {
        let to_body = self.function().builder.count_jump();
        let increment = self.function().builder.label();
        self.expression();
        let (builder, line) = self.emit();
        builder.pop(line);
        self.consume(TokenKind::RightParen, "Expect ')' after for clauses.");
        self.count_loop(start);

        if !self.function().builder.reaches(to_body) {
            self.error("Too much code to jump over.");
        }
        let snippet = self.function().builder.cut(increment);
        self.statement();
        self.count_loop(increment);
        self.function().builder.paste(snippet);
    }
}
