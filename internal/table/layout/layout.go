// Package layout defines the table's attribute names and keys. It imports only the standard library, so that every
// package can use it, whatever its version of the AWS SDK. Package table builds rows from it.
//
// An item's row is {namespace: "[prefix:]kind", key, version, item}. That is the schema of LaunchDarkly's own stores.
// A marker's row has its namespace as its key and no item.
package layout

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The attributes of LaunchDarkly's schema. The namespace is the partition key and the key is the sort key; both are
// strings. The version is a number, and the item is a string with LaunchDarkly's JSON. The rows of warmflags have no
// item.
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

// The names of markers. A marker's namespace has this name in place of a kind. All names begin with a dollar sign.
const (
	MarkerInited  = "$inited"  // LaunchDarkly's: the environment's data set is complete
	MarkerSync    = "$sync"    // warmflags': the fencing token, in the attribute version
	MarkerJournal = "$journal" // warmflags': the journal's rows are "[prefix:]$journal/region/copy"
)

// The kinds of LaunchDarkly's big segments, which the Relay Proxy writes. Their rows are not items. All begin with
// BigSegments.
const (
	BigSegments         = "big_segments_"
	BigSegmentsMetadata = BigSegments + "metadata"
	BigSegmentsUser     = BigSegments + "user"
)

// MaxPrefix is the maximum length of a prefix, in bytes. The sort key of a journal's row is its namespace, which
// DynamoDB limits to 1,024 bytes. Half of them are for the prefix, the rest for what follows it.
const MaxPrefix = 512

// CheckPrefix returns an error if changes of the prefix could not be announced: it is too long for a journal's key,
// or has characters that a message cannot contain.
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

// Namespace returns the partition key of a kind, or of a marker, in the environment with the prefix, which may be
// empty.
func Namespace(prefix, kind string) string {
	if prefix == "" {
		return kind
	}
	return prefix + ":" + kind
}

// SplitNamespace splits a namespace into its prefix, which may be empty, and its kind. A kind contains no colon; a
// prefix may. It is the inverse of [Namespace]; ok is false for a text that Namespace never returns.
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

// IsMarker reports whether a kind is the name of a marker.
func IsMarker(kind string) bool { return strings.HasPrefix(kind, "$") }
