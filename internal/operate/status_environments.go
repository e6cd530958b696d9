package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
)

const (
	// maxEnvironments is how many environments are read at the same time.
	maxEnvironments = 8
	// latestShown is how many of the latest changes of a journal are in a report.
	latestShown = 3
	// defaultSyncLate is the template's SyncLateSeconds.
	defaultSyncLate = 30 * time.Minute
)

// Environments are those of the SDK key parameter and those that have rows in the table.
type Environments struct {
	NotKnown string `json:"not_known,omitempty"`
	// KeysNotKnown says why the SDK keys cannot be read.
	KeysNotKnown string        `json:"keys_not_known,omitempty"`
	List         []Environment `json:"list"`
}

// Environment is one environment of the table.
type Environment struct {
	Prefix      string      `json:"prefix"`
	HasKey      bool        `json:"has_sdk_key"`
	Sync        Sync        `json:"sync"`
	Differences Differences `json:"differences"`
	Journal     Journal     `json:"journal"`
}

// Sync says when the environment was synced.
type Sync struct {
	NotKnown string `json:"not_known,omitempty"`
	// Synced is when the last sync that succeeded began; nil: none did. Age is that in seconds.
	Synced *time.Time `json:"synced"`
	Age    float64    `json:"age_s"`
	// Held is when a sync was last refused for a reason that no retry can fix, if it is later than Synced.
	Held *time.Time `json:"held,omitempty"`
	// Late is true if the age is above the stack's SyncLateSeconds.
	Late bool `json:"late"`
}

// Differences count the rows that differ from LaunchDarkly, by what a sync would do with them.
type Differences struct {
	NotKnown  string `json:"not_known,omitempty"`
	Add       int    `json:"add"`
	Update    int    `json:"update"`
	Remove    int    `json:"remove"`
	HeldBack  int    `json:"held_back"` // their versions in LaunchDarkly are lower than the table's
	Refused   int    `json:"refused"`   // DynamoDB cannot hold them
	Marker    bool   `json:"marker_missing"`
	Unchanged int    `json:"unchanged"`
	// Guard says why a sync would be refused as a whole; empty: it would not.
	Guard string `json:"guard,omitempty"`
	// KeyRefused is true if LaunchDarkly refuses the SDK key.
	KeyRefused bool `json:"sdk_key_refused"`
}

// differ is the number of rows that a sync would write.
func (d *Differences) differ() int { return d.Add + d.Update + d.Remove + boolToInt(d.Marker) }

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Journal is what was last published.
type Journal struct {
	NotKnown string `json:"not_known,omitempty"`
	// Exists is false if nothing was published yet. Off is true if the stack has no journal.
	Exists   bool   `json:"exists"`
	Off      bool   `json:"off,omitempty"`
	Epoch    string `json:"epoch,omitempty"`
	Position int64  `json:"position"`
	// Latest are the latest changes, the latest first.
	Latest []Announced `json:"latest"`
}

// Announced is a change in the journal.
type Announced struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	Version int    `json:"version"` // 0: not known
	Deleted bool   `json:"deleted"`
}

// environments reads all environments: their names first.
func (r *reading) environments(ctx context.Context) error {
	found := &r.report.Environments
	keys, err := r.keys(ctx)
	if err != nil {
		found.KeysNotKnown = r.why(err)
	}
	prefixes, err := Prefixes(ctx, r.DynamoDB, r.stack.Table)
	if err != nil {
		return err
	}
	for prefix := range keys {
		prefixes[prefix] = true
	}
	found.List = make([]Environment, len(prefixes))
	var group errgroup.Group
	group.SetLimit(maxEnvironments)
	for i, prefix := range slices.Sorted(maps.Keys(prefixes)) {
		e := &found.List[i]
		e.Prefix, e.HasKey = prefix, keys[prefix] != ""
		group.Go(func() error {
			r.environment(ctx, e, keys)
			return nil
		})
	}
	return group.Wait()
}

// Prefixes returns the prefixes of the environments that have rows in the table, except the probe's.
func Prefixes(ctx context.Context, client table.Scanner, tableName string) (map[string]bool, error) {
	namespaces, _, err := table.Namespaces(ctx, client, tableName)
	if err != nil {
		return nil, fmt.Errorf("scan table %q: %w", tableName, err)
	}
	prefixes := map[string]bool{}
	for _, namespace := range namespaces {
		if prefix, _, ok := layout.SplitNamespace(namespace); ok && prefix != ProbePrefix {
			prefixes[prefix] = true
		}
	}
	return prefixes, nil
}

// keys reads the SDK keys of the stack's parameter.
func (r *reading) keys(ctx context.Context) (map[string]string, error) {
	name := r.stack.Parameters["SdkKeyParameter"]
	switch {
	case !r.syncs():
		return nil, nil
	case name == "":
		return nil, errors.New("the stack has no parameter SdkKeyParameter")
	}
	return flagsync.ParameterKeys(r.Parameters, name)(ctx, false)
}

// environment reads one environment; why a part cannot be read is in the part.
func (r *reading) environment(ctx context.Context, e *Environment, keys map[string]string) {
	environment := &table.Environment{Client: r.DynamoDB, Table: r.stack.Table, Prefix: e.Prefix}
	if err := r.sync(ctx, environment, &e.Sync); err != nil {
		e.Sync.NotKnown = r.why(err)
	}
	if err := r.journal(ctx, e.Prefix, &e.Journal); err != nil {
		e.Journal.NotKnown = r.why(err)
	}
	switch {
	case e.HasKey:
		if err := r.differences(ctx, environment, keys, &e.Differences); err != nil {
			e.Differences.NotKnown = r.why(err)
		}
	case r.report.Environments.KeysNotKnown != "":
		e.Differences.NotKnown = "the SDK keys cannot be read: " + r.report.Environments.KeysNotKnown
	default:
		e.Differences.NotKnown = "there is no SDK key for this prefix"
	}
}

// sync reads the $sync row.
func (r *reading) sync(ctx context.Context, e *table.Environment, s *Sync) error {
	state, err := e.SyncState(ctx)
	if err != nil {
		return err
	}
	s.Synced = at(state.Synced)
	if state.Held.After(state.Synced) {
		s.Held = at(state.Held)
	}
	if s.Synced != nil {
		s.Age = r.ago(state.Synced)
		s.Late = s.Age > r.syncLate().Seconds()
	}
	return nil
}

// syncLate is how old a sync may be.
func (r *reading) syncLate() time.Duration {
	seconds, _ := strconv.Atoi(r.stack.Parameters["SyncLateSeconds"]) // 0 if there is none
	return cmp.Or(time.Duration(seconds)*time.Second, defaultSyncLate)
}

// differences makes a sync that writes nothing, with the options of the stack's own. Half of the limit is for
// LaunchDarkly: an environment that it does not serve leaves time for another.
func (r *reading) differences(ctx context.Context, e *table.Environment, keys map[string]string, d *Differences) error {
	removals, _ := strconv.ParseFloat(r.stack.Parameters["MaxRemovals"], 64) // 0 if there is none: the default
	result, err := flagsync.New(e, flagsync.StaticKeys(keys), flagsync.DryRun(), flagsync.Linger(-1),
		flagsync.Timeout(r.Limit/2),
		flagsync.Logger(slog.New(slog.DiscardHandler)), flagsync.StreamURI(r.stack.Parameters["StreamUri"]),
		flagsync.PayloadFilter(r.stack.Parameters["PayloadFilter"]), flagsync.MaxRemovals(removals)).Sync(ctx)
	d.Add, d.Update, d.Remove = len(result.Added), len(result.Updated), len(result.Removed)
	d.HeldBack, d.Refused, d.Marker = len(result.HeldBack), len(result.Refused), result.Marker
	d.Unchanged = len(result.Unchanged)
	switch {
	case errors.Is(err, flagsync.ErrGuard):
		d.Guard = err.Error()
		return nil
	case errors.Is(err, flagsync.ErrUnauthorized):
		d.KeyRefused = true
		return errors.New("LaunchDarkly refuses the SDK key")
	case err != nil:
		return fmt.Errorf("compare with LaunchDarkly: %w", err)
	}
	return nil
}

// journal reads the journal's first copy.
func (r *reading) journal(ctx context.Context, prefix string, j *Journal) error {
	j.Latest = []Announced{}
	j.Off = r.stack.Parameters["JournalCopies"] == "0"
	content, err := journal.Read(ctx, r.DynamoDB, r.stack.Table, prefix, r.stack.Region)
	if err != nil || content == nil {
		return err
	}
	j.Exists, j.Epoch, j.Position = true, content.Epoch, content.Seq
	for _, c := range slices.Backward(content.Changes) {
		if len(j.Latest) == latestShown {
			break
		}
		j.Latest = append(j.Latest, Announced{c.Kind, c.Key, c.Version, c.Deleted})
	}
	return nil
}
