package storehistory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

const marker = "$inited"

// name is a row's, without the prefix.
type name struct{ kind, key string }

func (n name) String() string { return n.kind + "/" + n.key }
func (n name) isMarker() bool { return n.kind == marker }

// row is an item's row: its version and its JSON. The zero row means that there is none.
type row struct {
	version int
	item    string
}

// written is a row after a write.
type written struct {
	step int
	row
}

// wrong records a violation.
func (h *history) wrong(format string, args ...any) {
	h.violations = append(h.violations,
		fmt.Errorf("seed %d, step %d: "+format, append([]any{h.Seed, h.step}, args...)...))
}

// wrote keeps what rows are after a write.
func (h *history) wrote(rows ...name) {
	now := h.table()
	for _, n := range rows {
		h.writes[n] = append(h.writes[n], written{h.step, now[n]})
	}
}

// judge checks a transaction. before is the table just before it. Each row must be as Init read it, or have changed
// and be older than Init's item.
func (h *history) judge(a *actor, items []types.TransactWriteItem, before map[name]row) {
	for _, i := range items {
		n := h.target(i)
		was, is := a.seen[n], before[n]
		if n.isMarker() || is == was || is == (row{}) {
			continue
		}
		ours := was.version // of a removal: the version that was to be removed
		if i.Put != nil {
			ours = rowOf(i.Put.Item).version
		}
		if is.version >= ours && (i.Put == nil || is != rowOf(i.Put.Item)) {
			h.wrong("%s overwrote a newer row: %v was %v when it was read, then %v; ours is %d", a.name,
				n, was, is, ours)
		}
	}
}

// complete checks that the table holds the data of the actor's Init, except for later changes of other programs.
func (h *history) complete(a *actor, when string) {
	now, want := h.table(), map[name]row{}
	for n := range a.seen {
		if !n.isMarker() {
			want[n] = row{}
		}
	}
	maps.Copy(want, rowsOf(a.data))
	for n, ours := range want {
		was := a.seen[n]
		least := ours.version // what a row's version must reach to be kept
		if ours == (row{}) {
			least = was.version
		}
		done := now[n] == ours || was == ours ||
			// Another program wrote Init's item, and later programs changed it.
			slices.ContainsFunc(h.writes[n], func(w written) bool {
				return w.step > a.seenAt && (w.row == ours || w.row != row{} && w.version >= least)
			})
		if !done {
			h.wrong("%s %s, but %v is %v instead of %v", a.name, when, n, now[n], ours)
		}
	}
}

// finish makes one more Init without disturbances and compares the table with its data, row by row.
func (h *history) finish(store interface {
	Init([]st.SerializedCollection) error
}) {
	data := h.environment(false)
	if err := store.Init(data); err != nil {
		h.wrong("the last Init: %v", err)
		return
	}
	rows, want := h.table(), rowsOf(data)
	marked := false
	for n := range rows {
		if n.isMarker() {
			marked = true
			delete(rows, n)
		}
	}
	if !marked {
		h.wrong("in the end there is no %s", marker)
	}
	if !maps.Equal(rows, want) {
		h.wrong("in the end the table is %v instead of %v", rows, want)
	}
}

// rowsOf is the data as rows.
func rowsOf(data []st.SerializedCollection) map[name]row {
	rows := map[name]row{}
	for _, c := range data {
		for _, i := range c.Items {
			rows[name{c.Kind.GetName(), i.Key}] = row{i.Item.Version, string(i.Item.SerializedItem)}
		}
	}
	return rows
}

// table returns all rows of the environment.
func (h *history) table() map[name]row {
	rows := map[name]row{}
	for _, kind := range []string{features.GetName(), segments.GetName(), marker} {
		namespace := &types.AttributeValueMemberS{Value: h.namespace(kind)}
		in := &dynamodb.QueryInput{
			TableName: &h.Table, ConsistentRead: aws.Bool(true),
			KeyConditionExpression:    aws.String("#n = :n"),
			ExpressionAttributeNames:  map[string]string{"#n": "namespace"},
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": namespace},
		}
		for more := true; more; more = len(in.ExclusiveStartKey) > 0 {
			out, err := h.Client.Query(h.ctx, in)
			if err != nil {
				h.wrong("read the table: %v", err)
				return rows
			}
			for _, r := range out.Items {
				rows[h.nameOf(r)] = rowOf(r)
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
	return rows
}

// namespace is the partition key of a kind or a marker.
func (h *history) namespace(of string) string {
	if h.Prefix == "" {
		return of
	}
	return h.Prefix + ":" + of
}

// nameOf is the name of a row, or of a key.
func (h *history) nameOf(r map[string]types.AttributeValue) name {
	kind := text(r["namespace"])
	if h.Prefix != "" {
		kind = strings.TrimPrefix(kind, h.Prefix+":")
	}
	return name{kind, text(r["key"])}
}

// target is the row that a transaction's item writes.
func (h *history) target(i types.TransactWriteItem) name {
	if i.Put != nil {
		return h.nameOf(i.Put.Item)
	}
	return h.nameOf(i.Delete.Key)
}

func rowOf(r map[string]types.AttributeValue) (out row) {
	if n, ok := r["version"].(*types.AttributeValueMemberN); ok {
		out.version, _ = strconv.Atoi(n.Value)
	}
	out.item = text(r["item"])
	return out
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}
