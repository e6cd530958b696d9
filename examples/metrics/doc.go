// Package metrics shows how to export the Stats of a client and of a subscriber. docs/operating.md has the same
// functions.
package metrics
