// Package testenv makes LaunchDarkly environments with LaunchDarkly's own builders. They use all features of the flag
// model, in data that tests can read, evaluate and compare.
//
// The environments of [Small] are in testdata/, one file each, in the wire format of LaunchDarkly's streams and
// relays: {"flags": {key: flag}, "segments": {key: segment}}, one item per line. `make testdata` writes them, and
// this package's test requires that the files equal the program's output byte for byte. The environments of [Large]
// are too big for the repository; tests make them when needed. [Contexts] has the contexts to evaluate for, which are
// also in testdata/contexts.json.
package testenv

//go:generate go run ./gen ../../testdata
