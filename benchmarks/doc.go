// Package benchmarks compares cachedstore with a bare map, which is the lower limit, with LaunchDarkly's own wrapper,
// and with caches that teams use. It is a module of its own, so that warmflags does not depend on the rivals. All
// rivals have one interface, [Cache], and the same inputs: 500 keys of both kinds in rotation, a finite TTL, and one
// table in memory that holds LaunchDarkly's JSON. README.md has the method and its limits; `make bench` runs
// everything.
package benchmarks
