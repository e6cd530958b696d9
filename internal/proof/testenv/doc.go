// Package testenv makes LaunchDarkly environments with LaunchDarkly's own builders: everything that its flag model can
// say, in data that tests can read, evaluate and compare.
//
// [Small] are the ones that testdata/ holds, one file each, in the wire format of LaunchDarkly's streams and relays:
// {"flags": {key: flag}, "segments": {key: segment}}, an item a line. `make testdata` writes them, and this package's
// test demands that the files are what the program makes, byte for byte. [Large] are too big for a repository, and are
// made when a test needs them. [Contexts] are whom to evaluate for; testdata/contexts.json has them too.
package testenv

//go:generate go run ./gen ../../testdata
