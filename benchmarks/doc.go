// Package benchmarks puts cachedstore beside its rivals: a bare map, which is the limit, LaunchDarkly's own wrapper,
// which is the yardstick, and caches that teams use. It is a module of its own, so that rivals are no dependency of
// ours. All rivals have one interface, [Cache], and the same inputs: 500 keys of both kinds in rotation, a finite TTL,
// over one table in memory that holds LaunchDarkly's JSON. README.md has the method and its limits; `make bench` runs
// everything.
package benchmarks
