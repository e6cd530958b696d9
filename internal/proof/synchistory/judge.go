package synchistory

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// known is the state of an item in the table, as the number of LaunchDarkly's change: a row's version, or the number
// of the change that removed the row.
type known struct {
	change  int
	foreign bool // another SDK wrote it; such a write can restore a removed item
}

// wrong records a violation.
func (h *history) wrong(format string, args ...any) {
	h.violations = append(h.violations, fmt.Errorf("seed %d: "+format, append([]any{h.Seed}, args...)...))
}

// foreign records another SDK's write.
func (h *history) foreign(n name, r row) {
	h.report.Upserts++
	h.known[n] = known{r.version, true}
}

// judge checks a transaction of a sync. before and newest are the table and its newest token just before the
// transaction.
func (h *history) judge(a *actor, before map[name]row, newest int64) {
	h.report.Transactions++
	if a.sdk {
		return
	}
	if newest != a.token {
		h.wrong("%s wrote with token %d when the newest was %d", a.name, a.token, newest)
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
			// If another SDK, whose stream is ahead, wrote a tombstone, an older payload writes the item again. This
			// is allowed, because a key that was created again also has a lower version and must not be held back.
			// The next sync removes the item.
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

// sawItem reports whether the table had an item that is not a tombstone when the actor compared it.
func (a *actor) sawItem() bool {
	for n, r := range a.seen {
		if !isTombstone(n, r) {
			return true
		}
	}
	return false
}

// acknowledged checks a sync that returned no error.
func (h *history) acknowledged(a *actor) {
	if a.mood == empty && a.confirmed && !a.sawItem() { // an empty environment over a table without items
		return
	}
	if !a.delivered {
		h.wrong("%s was acknowledged without a payload", a.name)
	}
	if !a.confirmed {
		h.wrong("%s was acknowledged, but had lost its token %d", a.name, a.token)
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

// finish syncs once more without disturbances and compares the table with the environment, row by row.
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
		h.wrong("in the end there is %v, which never existed: %v", n, r)
	}
}

func isTombstone(n name, r row) bool {
	item, err := n.dataKind().Deserialize([]byte(r.item))
	return err == nil && item.Item == nil
}

// table returns all rows of the environment.
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

// nameOf returns the item of a row or a key; false for markers.
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
