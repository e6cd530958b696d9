package synchistory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// known is what the table says of an item: after which of LaunchDarkly's changes it was so. For a row that is its
// version; for none, the number of the change that removed it.
type known struct {
	change  int
	foreign bool // another SDK wrote it, which can bring back what was removed
}

// wrong notes a violation.
func (h *history) wrong(format string, args ...any) {
	h.violations = append(h.violations, fmt.Errorf("seed %d: "+format, append([]any{h.Seed}, args...)...))
}

// foreign notes another SDK's write.
func (h *history) foreign(n name, r row) {
	h.report.Upserts++
	h.known[n] = known{r.version, true}
}

// judge looks at a sync's transaction, which was made when the table was as before and its fence was the newest.
func (h *history) judge(a *actor, before map[name]row, newest int64) {
	h.report.Transactions++
	if a.sdk {
		return
	}
	if newest != a.fence {
		h.wrong("%s wrote with fence %d when the newest was %d", a.name, a.fence, newest)
	}
	a.confirmed = true
	after := h.table()
	for _, n := range h.world.names() {
		was, is := before[n], after[n]
		if was == is {
			continue
		}
		held := h.known[n]
		switch now := h.world.at(n, a.asked); {
		case is != row{}:
			h.known[n] = known{change: is.version}
			// Where another SDK, whose stream is ahead, wrote a tombstone, an older payload brings the item back: a
			// key that was created again has a lower version too, and must not be held back. The next sync removes
			// it.
			if again := held.foreign && isTombstone(n, was); is.version < was.version && !again {
				h.wrong("%s lowered %v from %d to %d", a.name, n, was.version, is.version)
			}
			if was == (row{}) && is.version < held.change {
				h.wrong("%s revived %v of version %d, which change %d removed", a.name, n, is.version, held.change)
			}
		case a.mood != empty && !now.deleted && now.version != 0 || a.mood == empty && !isTombstone(n, was):
			h.wrong("%s removed %v, which its payload (change %d) has", a.name, n, a.asked)
		default:
			h.known[n] = known{change: now.version}
			if !held.foreign && now.version < held.change {
				h.wrong("%s removed %v of version %d as of change %d", a.name, n, was.version, a.asked)
			}
			if seen := a.seen[n]; was != seen && was.version >= seen.version {
				h.wrong("%s removed %v of version %d: it had read version %d", a.name, n, was.version, seen.version)
			}
		}
	}
}

// sawItem reports whether the table had an item, and not only tombstones, when the actor compared it.
func (a *actor) sawItem() bool {
	for n, r := range a.seen {
		if !isTombstone(n, r) {
			return true
		}
	}
	return false
}

// acknowledged looks at a sync that returned without an error.
func (h *history) acknowledged(a *actor) {
	if a.mood == empty && a.confirmed && !a.sawItem() { // an empty environment over a table without items
		return
	}
	if !a.delivered {
		h.wrong("%s was acknowledged without a payload", a.name)
	}
	if !a.confirmed {
		h.wrong("%s was acknowledged, but had lost its fence %d", a.name, a.fence)
	}
	rows := h.table()
	for _, n := range h.world.names() {
		ours, held := h.world.at(n, a.asked), h.known[n]
		if ours.deleted && rows[n] == (row{}) && held.change < ours.version { // it came and went between two syncs
			h.known[n] = known{change: ours.version}
		} else if !held.foreign && held.change < ours.version {
			h.wrong("%s was acknowledged, but %v is as of change %d, not %d", a.name, n, held.change, ours.version)
		}
	}
}

// finish syncs once more, undisturbed, and compares the table with the environment, row by row.
func (h *history) finish() {
	h.calm = true
	h.world.publish()
	last := &actor{history: h, name: "the last sync", seen: map[name]row{}}
	for _, want := range []string{"the environment", "no change"} {
		last.mood = well
		r, err := flagsync.New(h.environment(last), h.keys(), h.options(last)...).Sync(h.ctx)
		switch {
		case err != nil:
			h.wrong("the last sync, for %s: %v", want, err)
		case len(r.HeldBack)+len(r.Kept)+len(r.Refused) > 0:
			h.wrong("the last sync left %v, %v and %v", r.HeldBack, r.Kept, r.Refused)
		case want == "no change" && (r.Changed() || r.Transactions > 0):
			h.wrong("a sync of an unchanged environment wrote %d transactions", r.Transactions)
		default:
			h.acknowledged(last)
		}
	}
	rows := h.table()
	for _, n := range h.world.names() {
		want := row{}
		if s := h.world.at(n, h.world.changes); s.version != 0 && !s.deleted {
			want = row{s.version, string(n.dataKind().Serialize(descriptor(n, s)))}
		}
		if got := rows[n]; got != want && (want != row{} || !isTombstone(n, got)) {
			h.wrong("in the end %v is %v instead of %v", n, got, want)
		}
		delete(rows, n)
	}
	for n, r := range rows {
		h.wrong("in the end there is %v, which never was: %v", n, r)
	}
}

func isTombstone(n name, r row) bool {
	item, err := n.dataKind().Deserialize([]byte(r.item))
	return err == nil && item.Item == nil
}

// table is all rows of the environment.
func (h *history) table() map[name]row {
	rows := map[name]row{}
	for _, kind := range ldstoreimpl.AllKinds() {
		namespace := &types.AttributeValueMemberS{Value: h.namespace(kind.GetName())}
		in := &dynamodb.QueryInput{
			TableName: &h.Table, ConsistentRead: aws.Bool(true),
			KeyConditionExpression:    aws.String("#n = :n"),
			ExpressionAttributeNames:  map[string]string{"#n": "namespace"},
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": namespace},
		}
		for more := true; more; more = len(in.ExclusiveStartKey) > 0 {
			out, err := h.client.Query(h.ctx, in)
			if err != nil {
				h.wrong("read the table: %v", err)
				return rows
			}
			for _, r := range out.Items {
				rows[name{kind.GetName(), text(r["key"])}] = rowOf(r)
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
	return rows
}

// nameOf is the item that a row or a key belongs to; false for markers.
func (h *history) nameOf(r map[string]types.AttributeValue) (name, bool) {
	kind := text(r["namespace"])
	if h.Prefix != "" {
		kind = strings.TrimPrefix(kind, h.Prefix+":")
	}
	return name{kind, text(r["key"])}, !strings.HasPrefix(kind, "$")
}

func rowOf(r map[string]types.AttributeValue) (out row) {
	if n, ok := r["version"].(*types.AttributeValueMemberN); ok {
		out.version, _ = strconv.Atoi(n.Value)
	}
	out.item = text(r["item"])
	return out
}

// verdict joins what was wrong.
func (h *history) verdict() error { return errors.Join(h.violations...) }
