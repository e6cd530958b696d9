package table

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"
)

// IsObject reports whether valid JSON is an object.
func IsObject(valid string) bool {
	i := skipSpace(valid, 0)
	return i < len(valid) && valid[i] == '{'
}

// Members iterates over the members of a JSON object in their order: names, and the JSON of values. Values are
// substrings of the argument. Package encoding/json would copy each value, and ignores the case of names. The
// argument must be valid JSON; if it is not an object, it has no members.
func Members(valid string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if !IsObject(valid) {
			return
		}
		i := skipSpace(valid, skipSpace(valid, 0)+1)
		for valid[i] != '}' {
			end := skipString(valid, i)
			name := unquote(valid[i:end])
			i = skipSpace(valid, skipSpace(valid, end)+1) // past the colon
			end = skipValue(valid, i)
			if !yield(name, valid[i:end]) {
				return
			}
			if i = skipSpace(valid, end); valid[i] == ',' {
				i = skipSpace(valid, i+1)
			}
		}
	}
}

// Unquote returns the text of a JSON string, and whether the JSON is one. The argument must be valid JSON.
func Unquote(valid string) (string, bool) {
	if valid == "" || valid[0] != '"' {
		return "", false
	}
	return unquote(valid), true
}

func unquote(quoted string) string {
	if !strings.ContainsRune(quoted, '\\') && utf8.ValidString(quoted) { // encoding/json replaces invalid UTF-8
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal([]byte(quoted), &s) // it is valid
	return s
}

// The functions below return the index after the text that they skip, which begins at i.

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

func skipString(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipValue(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch s[i] {
		case '"':
			i = skipString(s, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i // a number or a name such as true ends where the surrounding object or array ends
			}
			depth--
			i++
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return i
}
