package expression

import (
	"fmt"
	"strings"
)

// token is one word or sign of an expression; its text is "" at the end.
type token struct {
	kind tokenKind
	text string
	at   int // where it begins in the expression
}

type tokenKind int

const (
	end   tokenKind = iota
	word            // a keyword, a function or a bare attribute name
	name            // #name
	value           // :value
	index           // the digits of [1]
	sign            // ( ) [ ] , . = <> < <= > >= + -
)

// tokens splits an expression; bad is the first character that belongs to no token, or "".
func tokens(text string) (list []token, bad string) {
	for i := 0; i < len(text); {
		c := text[i]
		start := i
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
			continue
		case c == '#' || c == ':':
			i = wordEnd(text, i+1)
			if i == start+1 {
				return nil, string(c)
			}
			kind := name
			if c == ':' {
				kind = value
			}
			list = append(list, token{kind, text[start:i], start})
		case c >= '0' && c <= '9':
			for i < len(text) && text[i] >= '0' && text[i] <= '9' {
				i++
			}
			list = append(list, token{index, text[start:i], start})
		case wordEnd(text, i) > i:
			i = wordEnd(text, i)
			list = append(list, token{word, text[start:i], start})
		default:
			n := signLength(text[i:])
			if n == 0 {
				return nil, string(c)
			}
			i += n
			list = append(list, token{sign, text[start:i], start})
		}
	}
	return append(list, token{kind: end, at: len(text)}), ""
}

func wordEnd(text string, i int) int {
	for i < len(text) {
		c := text[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
		i++
	}
	return i
}

func signLength(text string) int {
	for _, s := range []string{"<>", "<=", ">="} {
		if strings.HasPrefix(text, s) {
			return 2
		}
	}
	if strings.IndexByte("()[],.=<>+-", text[0]) >= 0 {
		return 1
	}
	return 0
}

// parser walks over the tokens of one expression. Its methods panic with a syntaxError, which parse turns into an error.
type parser struct {
	params *Params
	kind   string // such as "ConditionExpression"
	text   string
	list   []token
	next   int
}

type syntaxError struct{ error }

// parse runs f over the expression and returns the error that f panicked with.
func (p *Params) parse(kind, text string, f func(*parser)) (err error) {
	if strings.TrimSpace(text) == "" {
		return says("Invalid %s: The expression can not be empty;", kind)
	}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(syntaxError)
			if !ok {
				panic(r)
			}
			err = s.error
		}
	}()
	ps := &parser{params: p, kind: kind, text: text}
	list, bad := tokens(text)
	if bad != "" {
		ps.fail("Syntax error; token: %q, near: %q", bad, text)
	}
	ps.list = list
	f(ps)
	if t := ps.peek(); t.kind != end {
		ps.unexpected()
	}
	return nil
}

func (ps *parser) fail(format string, args ...any) {
	panic(syntaxError{fmt.Errorf("Invalid "+ps.kind+": "+format, args...)})
}

func (ps *parser) peek() token { return ps.list[ps.next] }

func (ps *parser) take() token {
	t := ps.list[ps.next]
	if t.kind != end {
		ps.next++
	}
	return t
}

// unexpected fails at the next token.
func (ps *parser) unexpected() {
	t := ps.peek()
	if t.kind == end {
		ps.fail("Syntax error; token: \"<EOF>\", near: %q", ps.text[ps.list[max(0, ps.next-1)].at:])
	}
	from := ps.list[max(0, ps.next-1)].at
	to := ps.list[min(ps.next+1, len(ps.list)-1)]
	ps.fail("Syntax error; token: %q, near: %q", t.text, ps.text[from:to.at+len(to.text)])
}

// sign takes the next token if it is one of these signs.
func (ps *parser) sign(signs ...string) (string, bool) {
	t := ps.peek()
	for _, s := range signs {
		if t.kind == sign && t.text == s {
			ps.next++
			return s, true
		}
	}
	return "", false
}

func (ps *parser) mustSign(s string) {
	if _, ok := ps.sign(s); !ok {
		ps.unexpected()
	}
}

// keyword takes the next token if it is this keyword, in any case.
func (ps *parser) keyword(k string) bool {
	if t := ps.peek(); t.kind == word && strings.EqualFold(t.text, k) {
		ps.next++
		return true
	}
	return false
}

// function says whether a function's name and parenthesis come next, and takes them.
func (ps *parser) function() (string, bool) {
	if t := ps.peek(); t.kind == word {
		if after := ps.list[ps.next+1]; after.kind == sign && after.text == "(" {
			ps.next += 2
			return t.text, true
		}
	}
	return "", false
}
