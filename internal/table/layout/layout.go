// Package layout names the table's attributes and builds its keys. It imports only the standard library, so that every
// package and function can share it, whatever AWS library it uses. Package table builds rows from it.
//
// An item's row is {namespace: "[prefix:]kind", key, version, item}. That is the schema of LaunchDarkly's own stores. A
// marker's row has its namespace as its key and no item.
package layout

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The attributes of LaunchDarkly's schema. Namespace is the partition key and key the sort key, both strings. Version
// is a number, item a string with LaunchDarkly's JSON. Our own rows have no item.
const (
	AttrNamespace = "namespace"
	AttrKey       = "key"
	AttrVersion   = "version"
	AttrItem      = "item"
)

// The attributes of the $sync row besides the version, which is the fencing token. All are numbers: milliseconds
// since 1970.
const (
	AttrSince  = "since"
	AttrSynced = "synced"
	AttrHeld   = "held"
)

// The names of markers. They take the place of a kind in a namespace; all begin with a dollar sign.
const (
	MarkerInited  = "$inited"  // LaunchDarkly's: the environment's data set is complete
	MarkerSync    = "$sync"    // ours: the fencing token, in the attribute version
	MarkerJournal = "$journal" // ours: the journal's rows are "[prefix:]$journal/region/copy"
)

// The kinds of LaunchDarkly's big segments, which the Relay Proxy writes. Their rows are not items. All begin with
// BigSegments.
const (
	BigSegments         = "big_segments_"
	BigSegmentsMetadata = BigSegments + "metadata"
	BigSegmentsUser     = BigSegments + "user"
)

// MaxPrefix is the longest prefix, in bytes. The sort key of a journal's row is its namespace, and DynamoDB allows
// 1,024 bytes there: this leaves half of them for what follows the prefix.
const MaxPrefix = 512

// CheckPrefix reports a prefix whose changes cannot be announced: it is too long for a journal, or has characters that
// no message can carry.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxPrefix {
		return fmt.Errorf("the prefix has %d bytes: use %d at most", len(prefix), MaxPrefix)
	}
	if !IsSendable(prefix) {
		return errors.New("the prefix has characters that SNS refuses")
	}
	return nil
}

// IsSendable reports whether SNS accepts s in a message or an attribute: the characters of XML 1.0, as for SQS
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
func IsSendable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == utf8.RuneError || c == 0xFFFE || c == 0xFFFF
	})
}

// Namespace returns the partition key of a kind, or of a marker, in the environment with that prefix, which may be
// empty.
func Namespace(prefix, kind string) string {
	if prefix == "" {
		return kind
	}
	return prefix + ":" + kind
}

// SplitNamespace splits a namespace into its prefix, which may be empty, and its kind. A kind contains no colon; a
// prefix may. It is the inverse of [Namespace], and reports false for what Namespace never returns.
func SplitNamespace(namespace string) (prefix, kind string, ok bool) {
	colon := strings.LastIndexByte(namespace, ':')
	if colon == 0 { // Namespace writes no colon after an empty prefix
		return "", "", false
	}
	if colon > 0 {
		prefix = namespace[:colon]
	}
	kind = namespace[colon+1:]
	return prefix, kind, kind != ""
}

// IsMarker reports whether a kind is a marker's name and not a kind of items.
func IsMarker(kind string) bool { return strings.HasPrefix(kind, "$") }
