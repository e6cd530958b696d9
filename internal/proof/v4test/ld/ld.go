// Package ld imitates LaunchDarkly's go-client.v4, which is no longer available, for tests of v4store. It has the same
// interfaces, and its own small set of kinds, flags and segments.
package ld

// FeatureStore has the method set of go-client.v4's FeatureStore.
type FeatureStore interface {
	Get(kind VersionedDataKind, key string) (VersionedData, error)
	All(kind VersionedDataKind) (map[string]VersionedData, error)
	Init(map[VersionedDataKind]map[string]VersionedData) error
	Delete(kind VersionedDataKind, key string, version int) error
	Upsert(kind VersionedDataKind, item VersionedData) error
	Initialized() bool
}

// VersionedData has the method set of go-client.v4's VersionedData.
type VersionedData interface {
	GetKey() string
	GetVersion() int
	IsDeleted() bool
}

// VersionedDataKind has the method set of go-client.v4's VersionedDataKind.
type VersionedDataKind interface {
	GetNamespace() string
	GetDefaultItem() interface{}
	MakeDeletedItem(key string, version int) VersionedData
}

// The kinds.
var (
	Features VersionedDataKind = features{}
	Segments VersionedDataKind = segments{}
)

type features struct{}

func (features) GetNamespace() string        { return "features" }
func (features) GetDefaultItem() interface{} { return new(Flag) }
func (features) MakeDeletedItem(key string, version int) VersionedData {
	return &Flag{Key: key, Version: version, Deleted: true}
}

type segments struct{}

func (segments) GetNamespace() string        { return "segments" }
func (segments) GetDefaultItem() interface{} { return new(Segment) }
func (segments) MakeDeletedItem(key string, version int) VersionedData {
	return &Segment{Key: key, Version: version, Deleted: true}
}

// Flag is a flag: one variation for users in its segment, another for all others.
type Flag struct {
	Key          string        `json:"key"`
	Version      int           `json:"version"`
	On           bool          `json:"on"`
	OffVariation *int          `json:"offVariation"`
	Rules        []Rule        `json:"rules"`
	Fallthrough  Variation     `json:"fallthrough"`
	Variations   []interface{} `json:"variations"`
	Salt         string        `json:"salt"`
	Deleted      bool          `json:"deleted"`
}

// Rule is a rule with clauses that must all match.
type Rule struct {
	Variation
	ID      string   `json:"id"`
	Clauses []Clause `json:"clauses"`
}

// Variation selects the variation that is served.
type Variation struct {
	Variation *int `json:"variation"`
}

// Clause matches users. Only the operation "segmentMatch" is implemented.
type Clause struct {
	Attribute string        `json:"attribute"`
	Op        string        `json:"op"`
	Values    []interface{} `json:"values"`
	Negate    bool          `json:"negate"`
}

// GetKey implements [VersionedData].
func (f *Flag) GetKey() string { return f.Key }

// GetVersion implements [VersionedData].
func (f *Flag) GetVersion() int { return f.Version }

// IsDeleted implements [VersionedData].
func (f *Flag) IsDeleted() bool { return f.Deleted }

// Segment is a list of users.
type Segment struct {
	Key      string   `json:"key"`
	Version  int      `json:"version"`
	Included []string `json:"included"`
	Excluded []string `json:"excluded"`
	Salt     string   `json:"salt"`
	Deleted  bool     `json:"deleted"`
}

// GetKey implements [VersionedData].
func (s *Segment) GetKey() string { return s.Key }

// GetVersion implements [VersionedData].
func (s *Segment) GetVersion() int { return s.Version }

// IsDeleted implements [VersionedData].
func (s *Segment) IsDeleted() bool { return s.Deleted }

// Config has the fields of go-client.v4's Config that docs/migrating.md names.
type Config struct {
	FeatureStore FeatureStore
	UseLdd       bool
}

// DefaultConfig has go-client.v4's defaults.
var DefaultConfig Config
