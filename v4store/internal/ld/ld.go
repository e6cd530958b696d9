// Package ld is [github.com/warmflags/warmflags/internal/v4test/ld] under the name that it had.
package ld

import "github.com/warmflags/warmflags/internal/v4test/ld"

// The shapes of go-client.v4.
type (
	FeatureStore      = ld.FeatureStore
	VersionedData     = ld.VersionedData
	VersionedDataKind = ld.VersionedDataKind
	Flag              = ld.Flag
	Segment           = ld.Segment
	Rule              = ld.Rule
	Variation         = ld.Variation
	Clause            = ld.Clause
)

// The kinds.
var Features, Segments = ld.Features, ld.Segments
