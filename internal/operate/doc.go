// Package operate answers the questions of the person on call: what a stack consists of, whether its flags are up to
// date, what is broken, and what fixes it. It reads AWS and LaunchDarkly and prints nothing: cmd/warmflags prints.
package operate
