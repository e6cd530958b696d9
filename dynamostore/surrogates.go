package dynamostore

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// withoutSurrogates replaces escaped surrogate pairs in JSON by the characters that they encode. Programs in other
// languages write an emoji as two escapes (Python's json.dumps does). LaunchDarkly's JSON reader for Go
// (go-jsonstream 3.1.0) decodes each escape separately, to an invalid character, so a flag would have different
// values in Go and in other languages.
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
		default: // another escape, copied with its next character: in \\, the second backslash does not begin an escape
			out.WriteString(json[i : i+2])
			i += 2
		}
	}
	return out.String()
}

// pair returns the character of the surrogate pair with which s begins. It returns 0 if s does not begin with a
// complete pair.
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

// escape returns the code unit of the \u escape with which s begins.
func escape(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
