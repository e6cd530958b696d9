package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
)

// ProbePrefix is the environment in which [Probe] writes its item: no LaunchDarkly environment's, so no sync touches
// it.
const ProbePrefix = "warmflags-probe"

const (
	// probeTimeout limits the wait for a written item on the topic and in the journal.
	probeTimeout = 2 * time.Minute
	// writeAgainAfter is when the item is written again: for up to a minute, a new queue's policy may refuse messages.
	writeAgainAfter = 5 * time.Second
	// journalPoll is the time between two reads of the journal.
	journalPoll = 100 * time.Millisecond
	// removalTimeout limits the removal, including the wait until the journal has announced it.
	removalTimeout = 30 * time.Second
)

// ErrNotSeen is in the error of [Probe] when what it wrote did not arrive.
var ErrNotSeen = errors.New("the probe did not arrive")

// ProbeReport is how long a change takes from the table to those who wait for it.
type ProbeReport struct {
	Table string `json:"table"`
	Topic string `json:"topic"`
	Key   string `json:"key"`
	// Writes is how often the item was written until it was seen on the topic. More than one is normal on AWS: a new
	// queue's policy takes up to a minute to apply.
	Writes int   `json:"writes"`
	Hops   []Hop `json:"hops"`
	// Problem says that the item did not arrive, and where; empty: it did.
	Problem string `json:"problem,omitempty"`
	// Removed is true if the item, its journal and its queue are removed.
	Removed bool `json:"removed"`
	// Left says what may come back; empty: nothing.
	Left string `json:"left,omitempty"`
}

// Hop is one step of a change.
type Hop struct {
	Name string  `json:"hop"`
	MS   float64 `json:"ms"`
}

// probe is one run of [Probe]. One goroutine uses it, except what says otherwise.
type probe struct {
	Account
	stack   *Stack
	copies  int // of the journal; 0: it is off
	key     string
	started bool        // an item was written, or may have been
	writes  []time.Time // when each version was written: of version 1 first
	report  *ProbeReport
}

// received is a message as it came.
type received struct {
	change.Message
	at time.Time
}

// Probe writes one item under [ProbePrefix], waits until it is announced on the topic and in the journal, and removes
// it, its journal and its queue, also when ctx ends. The report has the hops that were seen, also next to an error,
// which wraps [ErrNotSeen] if the item did not arrive. The stack needs a table, a topic and a region. The journal has
// that many copies; with 0 it is off.
func Probe(ctx context.Context, account Account, stack *Stack, copies int) (*ProbeReport, error) {
	p := &probe{Account: account, stack: stack, copies: copies, key: "probe-" + strings.ToLower(rand.Text()[:8])}
	p.report = &ProbeReport{Table: stack.Table, Topic: stack.TopicARN, Key: p.key, Hops: []Hop{}}
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	connected, messages, ended := make(chan struct{}), make(chan received), make(chan error, 1)
	go func() {
		ended <- listen(listening, account, stack.TopicARN, "warmflags status --probe", listener{
			connected: func(again bool) {
				if !again {
					close(connected)
				}
			},
			message: func(m change.Message) {
				select {
				case messages <- received{m, time.Now()}:
				case <-listening.Done():
				}
			},
			warned: func(string) {}, // what is retried shows as a hop that takes long, or that is not seen
		})
	}()
	var err error
	select {
	case <-connected:
		err = p.follow(ctx, messages)
	case err = <-ended:
		return p.report, fmt.Errorf("listen to topic %q: %w", stack.TopicARN, err)
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	if errors.Is(err, ErrNotSeen) {
		p.report.Problem = err.Error()
	}
	removed := errors.Join(<-ended, p.remove(context.WithoutCancel(ctx)))
	p.report.Removed = removed == nil
	return p.report, errors.Join(err, removed)
}

// follow writes the item until it is seen on the topic, and waits for the journal, which is read at the same time.
func (p *probe) follow(ctx context.Context, messages <-chan received) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, ErrNotSeen)
	defer cancel()
	seen := make(chan journaled, 1)
	var polling sync.WaitGroup
	if p.hasJournal() {
		polling.Go(func() {
			err := p.awaitJournal(ctx, false)
			seen <- journaled{time.Now(), err}
		})
	}
	err := p.followTopic(ctx, messages)
	if err == nil && p.hasJournal() {
		err = p.followJournal(ctx, <-seen)
	}
	cancel()
	polling.Wait()
	return err
}

// journaled is when the journal was seen to have the item, or why it was not.
type journaled struct {
	at  time.Time
	err error
}

// followTopic writes the item, again if need be, until a message announces it.
func (p *probe) followTopic(ctx context.Context, messages <-chan received) error {
	again := time.NewTimer(0) // at once
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if err := p.write(ctx); ctx.Err() != nil {
				return p.notSeen(ctx, "on the topic")
			} else if err != nil {
				return err
			}
			again.Reset(writeAgainAfter)
		case m := <-messages:
			if p.announced(m) {
				return nil
			}
		case <-ctx.Done():
			return p.notSeen(ctx, "on the topic")
		}
	}
}

// followJournal notes how long the journal took.
func (p *probe) followJournal(ctx context.Context, j journaled) error {
	switch {
	case ctx.Err() != nil:
		return p.notSeen(ctx, "in the journal")
	case j.err != nil:
		return j.err
	}
	p.hop("in the journal, since the write", j.at.Sub(p.writes[0]))
	return nil
}

// notSeen is the error of a wait that ended: by the time limit, or by the caller.
func (p *probe) notSeen(ctx context.Context, where string) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ErrNotSeen) {
		return cause
	}
	return fmt.Errorf(
		"item %q, written %d times, was not announced %s in %v: %w",
		p.key,
		len(p.writes),
		where,
		probeTimeout,
		ErrNotSeen,
	)
}

// write writes the next version of the item.
func (p *probe) write(ctx context.Context) error {
	version := len(p.writes) + 1
	row := p.row()
	row[layout.AttrVersion] = table.Number(int64(version))
	row[layout.AttrItem] = table.Text(fmt.Sprintf(
		`{"key":%q,"version":%d,"on":false,"offVariation":0,"variations":[%d],"salt":""}`, p.key, version, version))
	p.started = true
	began := time.Now()
	if _, err := p.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &p.stack.Table, Item: row}); err != nil {
		return fmt.Errorf("write item %q to table %q: %w", p.key, p.stack.Table, err)
	}
	if version == 1 {
		p.hop("write to the table", time.Since(began))
	}
	p.writes = append(p.writes, time.Now())
	p.report.Writes = version
	return nil
}

// row is the primary key of the item's row.
func (p *probe) row() table.Row {
	return table.Key(layout.Namespace(ProbePrefix, change.KindFeatures), p.key)
}

// announced reports whether a message announces the item, and notes how long it took. A clock that is ahead makes no
// negative time.
func (p *probe) announced(m received) bool {
	i := slices.IndexFunc(m.Changes, func(c change.Change) bool { return c.Key == p.key })
	if m.Prefix != ProbePrefix || i < 0 {
		return false
	}
	version := min(max(m.Changes[i].Version, 1), len(p.writes))
	written := p.writes[version-1]
	p.hop("stream to streamhandler, by its clock", max(m.Time.Sub(written), 0))
	p.hop("on the topic, since the write", m.at.Sub(written))
	return true
}

func (p *probe) hop(name string, took time.Duration) {
	p.report.Hops = append(p.report.Hops, Hop{name, float64(took.Microseconds()) / 1000})
}

func (p *probe) hasJournal() bool { return p.copies > 0 }

// awaitJournal reads the journal until its latest entry of the item says that it exists, or that it was deleted. It
// uses only fields that do not change.
func (p *probe) awaitJournal(ctx context.Context, deleted bool) error {
	ticker := time.NewTicker(journalPoll)
	defer ticker.Stop()
	for {
		content, err := journal.Read(ctx, p.DynamoDB, p.stack.Table, ProbePrefix, p.stack.Region)
		if err != nil {
			return err
		}
		if content != nil {
			for _, c := range slices.Backward(content.Changes) {
				if c.Key == p.key && c.Deleted == deleted {
					return nil
				}
				if c.Key == p.key {
					break // older entries are of older writes
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove removes the item, waits until the journal has announced that, because streamhandler would otherwise create the
// journal again, and removes the journal.
func (p *probe) remove(ctx context.Context) error {
	if !p.started {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	_, err := p.DynamoDB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &p.stack.Table, Key: p.row()})
	if err != nil {
		return fmt.Errorf("remove item %q of prefix %q from table %q: %w", p.key, ProbePrefix, p.stack.Table, err)
	}
	if !p.hasJournal() {
		return nil
	}
	if p.report.Problem != "" || !p.removalAnnounced(ctx) {
		p.report.Left = fmt.Sprintf(
			"when the stream goes on, streamhandler writes a journal of prefix %q: a small row that does no harm",
			ProbePrefix,
		)
	}
	var errs []error
	for n := range p.copies {
		namespace := layout.Namespace(ProbePrefix, layout.MarkerJournal+"/"+p.stack.Region+"/"+strconv.Itoa(n))
		_, err := p.DynamoDB.DeleteItem(
			ctx,
			&dynamodb.DeleteItemInput{TableName: &p.stack.Table, Key: table.Key(namespace, namespace)},
		)
		if err != nil {
			errs = append(errs, fmt.Errorf("remove journal %q from table %q: %w", namespace, p.stack.Table, err))
		}
	}
	return errors.Join(errs...)
}

// removalAnnounced waits until the journal says that the item was removed, and reports whether it did.
func (p *probe) removalAnnounced(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout/2)
	defer cancel()
	return p.awaitJournal(ctx, true) == nil
}
