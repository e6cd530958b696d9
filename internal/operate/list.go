package operate

import (
	"context"
	"path"

	"github.com/warmflags/warmflags/internal/table"
)

// Listed is an item's row, as a list shows it.
type Listed struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	Version int    `json:"version"` // 0 if it is not known
	Deleted bool   `json:"deleted"` // it is a tombstone
	On      *bool  `json:"on"`      // null for a segment, for a tombstone, and if the JSON cannot be parsed
	State   string `json:"state"`
}

// Filter selects rows. Its zero value selects the items of both kinds that are not deleted.
type Filter struct {
	Kind    string // empty: flags and segments
	On      *bool  // flags that are on, or off
	Deleted bool   // tombstones, and nothing else
	Match   string // a glob that the key matches, as in path.Match; empty: all; a malformed one matches nothing
}

// List reads an environment's rows, flags before segments, in the order of their keys. It costs a Query of each kind,
// which reads all of its rows.
func List(ctx context.Context, e *table.Environment, f Filter) ([]Listed, error) {
	rows := []Listed{}
	for _, kind := range []string{Features, Segments} {
		if f.Kind != "" && f.Kind != kind {
			continue
		}
		err := e.EachRow(ctx, kind, func(key string, r table.Row) {
			if row := newListed(kind, key, r); f.selects(row) {
				rows = append(rows, row)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func newListed(kind, key string, r table.Row) Listed {
	item, err := table.ParseRow(r)
	if err != nil {
		return Listed{Kind: kind, Key: key, State: "unreadable: " + err.Error()}
	}
	s := newSide(kind, item)
	l := Listed{Kind: kind, Key: key, Version: s.Version, Deleted: s.Deleted, State: s.State}
	if flag, err := model.UnmarshalFeatureFlag([]byte(s.JSON)); kind == Features && err == nil && !s.Deleted {
		l.On = &flag.On
	}
	return l
}

func (f Filter) selects(l Listed) bool {
	if f.Match != "" {
		if ok, _ := path.Match(f.Match, l.Key); !ok {
			return false
		}
	}
	if f.On != nil && (l.On == nil || *l.On != *f.On) {
		return false
	}
	return l.Deleted == f.Deleted
}
