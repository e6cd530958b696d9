package v4store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// many returns n flags with a version.
func many(n, version int) map[ld.VersionedDataKind]map[string]ld.VersionedData {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("flag-%03d:%d", i, version)
	}
	return flags(words...)
}

// written collects the transactions: the namespaces and keys of their rows, with "-" before removals.
func (w *world) written() *[][]string {
	var all [][]string
	name := func(r map[string]types.AttributeValue) string {
		return r["namespace"].(*types.AttributeValueMemberS).Value + " " + r["key"].(*types.AttributeValueMemberS).Value
	}
	w.intercept(func(_ string, in any) error {
		if in, ok := in.(*v2.TransactWriteItemsInput); ok {
			var one []string
			for _, i := range in.TransactItems {
				if i.Put != nil {
					one = append(one, name(i.Put.Item))
				} else {
					one = append(one, "-"+name(i.Delete.Key))
				}
			}
			all = append(all, one)
		}
		return nil
	})
	return &all
}

// other is another kind of the same namespace.
type other struct{ ld.VersionedDataKind }

func TestInitRefusesTwoKindsOfOneNamespace(t *testing.T) {
	w := newWorld()
	s, made := w.store(), w.written()
	data := flags("b:1")
	data[other{ld.Features}] = map[string]ld.VersionedData{"c": &ld.Flag{Key: "c", Version: 1}}
	require.ErrorContains(t, s.Init(data), `two kinds have the namespace "features"`)
	assert.Empty(t, *made)
}

func TestInitFixesTextAfterTheJSON(t *testing.T) {
	w := newWorld()
	s := w.store()
	require.NoError(t, s.Init(flags("a:1")))
	row := w.row(t, "features", "a")
	good := row["item"].(*types.AttributeValueMemberS).Value
	w.put(t, "features", "a", map[string]types.AttributeValue{"version": num("1"), "item": str(good + " oops")})
	require.NoError(t, s.Init(flags("a:1")))
	assert.Equal(t, str(good), w.row(t, "features", "a")["item"])
}

func TestInitWritesInOrder(t *testing.T) {
	w := newWorld()
	s, made := w.store(), w.written()
	data := flags("b:1", "a:1")
	data[ld.Segments] = map[string]ld.VersionedData{"s": &ld.Segment{Key: "s", Version: 1}}
	require.NoError(t, s.Init(data))
	assert.Equal(t, [][]string{{"segments s", "features a", "features b", "$inited $inited"}}, *made)
	*made = nil
	require.NoError(t, s.Init(flags("b:1", "c:1")))
	assert.Equal(t, [][]string{{"features c", "-features a", "-segments s"}}, *made, "only what differs")
	*made = nil
	require.NoError(t, s.Init(map[ld.VersionedDataKind]map[string]ld.VersionedData{ld.Segments: {}}))
	assert.Empty(t, *made, "a kind that is not given is not changed")
}

func TestInitRespectsTransactionLimits(t *testing.T) {
	for name, c := range map[string]struct {
		flags, saltBytes int
		want             []int // rows by transaction
	}{
		"99 flags and the marker": {99, 1, []int{100}},
		"100 flags":               {100, 1, []int{100, 1}},
		"250 flags":               {250, 1, []int{100, 100, 51}},
		"20 large flags":          {20, 390_000, []int{10, 11, 5, 5, 5, 5}}, // below 4 MB; localaws rejects more
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s, made := w.store(), w.written()
			for version := range 2 { // new rows, then changed rows, which are also in the conditions
				data := many(c.flags, version)
				for _, f := range data[ld.Features] {
					f.(*ld.Flag).Salt = strings.Repeat("x", c.saltBytes)
				}
				require.NoError(t, s.Init(data))
			}
			var sizes []int
			for _, one := range *made {
				sizes = append(sizes, len(one))
			}
			require.GreaterOrEqual(t, len(sizes), len(c.want))
			assert.Equal(t, c.want, sizes[:len(c.want)])
			all, err := s.All(ld.Features)
			require.NoError(t, err)
			assert.Len(t, all, c.flags)
			for _, f := range all {
				require.Equal(t, 1, f.GetVersion())
			}
		})
	}
}

// A failure between transactions leaves no marker, and the next Init writes the rest.
func TestInitContinuesAfterAFailure(t *testing.T) {
	w := newWorld()
	errDown := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no more"}
	n := 0
	w.intercept(func(operation string, _ any) error {
		if operation == "TransactWriteItems" {
			if n++; n == 2 {
				return errDown
			}
		}
		return nil
	})
	s := w.store()
	require.ErrorContains(t, s.Init(many(150, 1)), "no more")
	assert.Equal(t, 2, n, "an error that is not retryable is not retried")
	assert.False(t, s.Initialized())
	all, err := s.All(ld.Features)
	require.NoError(t, err)
	assert.Len(t, all, 100)
	made := w.written()
	require.NoError(t, s.Init(many(150, 1)))
	assert.Len(t, *made, 1)
	assert.Len(t, (*made)[0], 51)
	assert.True(t, s.Initialized())
}

// canceled returns the error of a canceled transaction, with a reason for each of its rows.
func canceled(codes ...string) error {
	e := &types.TransactionCanceledException{Message: aws.String("canceled")}
	for _, code := range codes {
		e.CancellationReasons = append(e.CancellationReasons,
			types.CancellationReason{Code: &code, Message: aws.String("because")})
	}
	return e
}

func TestWritesAreRetried(t *testing.T) {
	conflict := &types.TransactionConflictException{Message: aws.String("conflict")}
	throttled := &types.ProvisionedThroughputExceededException{Message: aws.String("slow down")}
	broken := &smithy.GenericAPIError{Code: "InternalServerError", Message: "oops", Fault: smithy.FaultServer}
	for name, c := range map[string]struct {
		operation string
		err       error
	}{
		"a conflict of a put":         {"PutItem", conflict},
		"a throttled put":             {"PutItem", throttled},
		"a server's error on a put":   {"PutItem", broken},
		"a throttled transaction":     {"TransactWriteItems", throttled},
		"a server's error":            {"TransactWriteItems", broken},
		"a conflict in a transaction": {"TransactWriteItems", canceled("None", "TransactionConflict", "None")},
		"throttling in a transaction": {"TransactWriteItems", canceled("ThrottlingError", "None", "None")},
		"an exceeded throughput in a transaction": {"TransactWriteItems",
			canceled("None", "ProvisionedThroughputExceeded", "None")},
	} {
		write := func(s *v4store.Table[ld.VersionedDataKind, ld.VersionedData]) error {
			if c.operation == "PutItem" {
				return s.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 1})
			}
			return s.Init(flags("a:1", "b:1"))
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, begin := newWorld(), time.Now()
				fails := 3
				w.intercept(func(operation string, _ any) error {
					if operation == c.operation && fails > 0 {
						fails--
						return c.err
					}
					return nil
				})
				s := w.store()
				require.NoError(t, write(s))
				w.expectOf(t, c.operation, 4)
				got, err := s.Get(ld.Features, "a")
				require.NoError(t, err)
				assert.NotNil(t, got)

				fails = 1 << 30
				require.ErrorContains(t, write(w.store(v4store.Prefix("for-ever"))), "gave up after")
				assert.InDelta(t, 30, time.Since(begin).Seconds(), 1, "the limit")
			})
		})
	}
}

func TestErrorsThatAreNotRetryableNameTheRow(t *testing.T) {
	w := newWorld()
	w.intercept(func(operation string, _ any) error {
		if operation == "TransactWriteItems" {
			return canceled("None", "ValidationError", "None")
		}
		return nil
	})
	require.ErrorContains(t, w.store().Init(flags("a:1", "b:1")), `row "features" "b": ValidationError: because`)
	w.intercept(func(operation string, _ any) error {
		if operation == "TransactWriteItems" {
			return canceled("None")
		}
		return nil
	})
	require.ErrorContains(t, w.store().Init(flags("a:1", "b:1")), "1 reasons for 3 rows")
}

// If a call was executed and only its response was lost, the next attempt finds its rows and returns no error.
func TestLostResponses(t *testing.T) {
	for _, lost := range []string{"PutItem", "TransactWriteItems"} {
		w := newWorld()
		client := &meddling{Client: w.client}
		var once sync.Once
		client.after = func(operation string) (err error) {
			if operation == lost {
				once.Do(func() { err = errReset })
			}
			return err
		}
		s := w.store(v4store.Client(client))
		require.NoError(t, s.Init(flags("a:1")))
		require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "b", Version: 1}))
		all, err := s.All(ld.Features)
		require.NoError(t, err)
		assert.Len(t, all, 2)
		assert.True(t, s.Initialized())
	}
}

// A read within settle may fail like any other call; then the transaction is retried.
func TestAThrottledReadAfterACanceledTransactionIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		require.NoError(t, w.store().Init(flags("a:1", "b:1")))
		client := &meddling{Client: w.client}
		var once, fail sync.Once
		client.before = func(operation string) (err error) {
			switch operation {
			case "TransactWriteItems":
				once.Do(func() { err = w.store().Upsert(ld.Features, &ld.Flag{Key: "b", Version: 9}) })
			case "GetItem":
				if w.cloud.Calls("TransactWriteItems") == 2 {
					fail.Do(func() { err = errReset })
				}
			}
			return err
		}
		s := w.store(v4store.Client(client))
		require.NoError(t, s.Init(flags("a:2", "b:2")))
		a, err := s.Get(ld.Features, "a")
		require.NoError(t, err)
		assert.Equal(t, 2, a.GetVersion())
		b, err := s.Get(ld.Features, "b")
		require.NoError(t, err)
		assert.Equal(t, 9, b.GetVersion())
	})
}

// Rows that are not in LaunchDarkly's format change while Init runs. No newer row is lost, and broken rows are
// replaced.
func TestInitWithConcurrentChangesOfBrokenRows(t *testing.T) {
	for name, c := range map[string]struct {
		before, meanwhile map[string]types.AttributeValue
		flags             []string
		want              string
	}{
		"a row becomes broken": {nil, map[string]types.AttributeValue{"item": str("{}")}, []string{"a:1"}, "1"},
		"a broken row is newer": {map[string]types.AttributeValue{"item": str("{}")},
			map[string]types.AttributeValue{"version": num("7"), "item": str("{}")}, []string{"a:1"}, "7"},
		"a broken row is removed": {map[string]types.AttributeValue{"version": str("?")}, nil, nil, ""},
		"a removed one was newer": {map[string]types.AttributeValue{"version": num("3"), "item": str("{}")},
			map[string]types.AttributeValue{"version": num("4"), "item": str("{}")}, nil, "4"},
		"a removed one was older": {map[string]types.AttributeValue{"version": num("3"), "item": str("{}")},
			map[string]types.AttributeValue{"version": num("2"), "item": str("{}")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			require.NoError(t, w.store().Init(flags()))
			if c.before != nil {
				w.put(t, "features", "a", c.before)
			}
			client := &meddling{Client: w.client}
			var once sync.Once
			client.before = func(operation string) error {
				if operation == "TransactWriteItems" && c.meanwhile != nil {
					once.Do(func() { w.put(t, "features", "a", c.meanwhile) })
				}
				return nil
			}
			require.NoError(t, w.store(v4store.Client(client)).Init(flags(c.flags...)))
			row := w.row(t, "features", "a")
			if c.want == "" {
				assert.Empty(t, row)
			} else {
				assert.Equal(t, num(c.want), row["version"])
			}
		})
	}
}
