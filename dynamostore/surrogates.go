package dynamostore

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// withoutSurrogates writes characters in place of escaped surrogate pairs in JSON. Programs in other languages write
// an emoji as two escapes (Python's json.dumps does), and LaunchDarkly's JSON reader for Go (go-jsonstream 3.1.0)
// takes each of them for a character that does not exist: a flag would have another value here than elsewhere.
func withoutSurrogates(json string) string {
	if !strings.Contains(json, `\ud`) && !strings.Contains(json, `\uD`) {
		return json
	}
	var out strings.Builder
	for i := 0; i < len(json); {
		switch {
		case json[i] != '\\' || i+1 == len(json):
			out.WriteByte(json[i])
			i++
		case pair(json[i:]) != 0:
			out.WriteRune(pair(json[i:]))
			i += len(`\uXXXX\uXXXX`)
		default: // any other escape, with what it escapes: the second backslash of two begins none
			out.WriteString(json[i : i+2])
			i += 2
		}
	}
	return out.String()
}

// pair is the character of the two escapes that s begins with, or 0: half a pair, or two escapes that are none, stay
// as they are.
func pair(s string) rune {
	high, ok := escape(s)
	if !ok {
		return 0
	}
	low, ok := escape(s[6:])
	if r := utf16.DecodeRune(high, low); ok && r != '\uFFFD' {
		return r
	}
	return 0
}

// escape is the code unit of the escape that s begins with.
func escape(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
