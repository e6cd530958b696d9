package journal_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const first = "$journal/eu-west-1/0"

func TestAnItemOfAtMost4KBHoldsTheLatestChanges(t *testing.T) {
	for _, prefix := range []string{"", "production"} {
		a, name := newAccount(t), first
		if prefix != "" {
			name = prefix + ":" + first
		}
		for i := range 300 {
			require.NoError(t, a.writer.Append(t.Context(), []change.Message{message(prefix, keys(i, i+1)...)}))
			epoch, seq, entries := a.read(name)
			assert.NotEmpty(t, epoch)
			assert.Equal(t, i+1, seq)
			assert.Equal(t, keys(i+1-len(entries), i+1), entries, "the latest, oldest first")
			assert.LessOrEqual(t, localaws.ItemSize(a.item(name)), 4096)
			if i < 100 {
				assert.Len(t, entries, i+1, "no entry is dropped while all fit")
			}
		}
		assert.Greater(t, localaws.ItemSize(a.item(name)), 4050, "as many as fit")
		assert.NotContains(t, a.item(name), "item", "the stream's filter skips the row")
		assert.Equal(t, a.item(name)["namespace"], a.item(name)["key"])
	}
}

func TestABatchThatDoesNotFitKeepsItsLatestChanges(t *testing.T) {
	a := newAccount(t)
	a.append(keys(0, 1000)...)
	_, seq, entries := a.read(first)
	assert.Equal(t, 1000, seq)
	assert.Equal(t, keys(1000-len(entries), 1000), entries)
	a.append(strings.Repeat("<", 1000)) // 6,000 bytes in JSON
	_, seq, entries = a.read(first)
	assert.Equal(t, 1001, seq)
	assert.Empty(t, entries)
}

func TestTwoWritersLoseNoEntry(t *testing.T) {
	for _, copies := range []int{1, 3} {
		a := newAccount(t)
		a.writer.Copies = copies
		a.append("old")
		a.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "PutItem" || operation == "TransactWriteItems" { // the first writer has read by now
				a.Intercept(nil)
				a.append("in between")
			}
			return nil
		})
		a.append("late")
		_, seq, entries := a.read(first)
		assert.Equal(t, []string{"old", "in between", "late"}, entries)
		assert.Equal(t, 3, seq)
		assert.Equal(t, 4, a.Calls("PutItem")+a.Calls("TransactWriteItems"), "three writes and one refused attempt")
	}
}

func TestManyWritersAtOnceLoseNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		a.writer.Copies = 2
		a.append() // creates the item
		var writers sync.WaitGroup
		for i := range 20 {
			writers.Go(func() { a.append(keys(i, i+1)...) })
		}
		writers.Wait()
		_, seq, entries := a.read(first)
		assert.Equal(t, 20, seq)
		assert.ElementsMatch(t, keys(0, 20), entries)
	})
}

func TestCopiesAreIdenticalAndWrittenInOneTransaction(t *testing.T) {
	a := newAccount(t)
	a.writer.Copies = 3
	a.BetweenItems(func() {
		a.BetweenItems(nil)
		err := a.writer.Renew(context.Background(), "other") // another prefix's transaction does not matter
		assert.NoError(t, err)
	})
	a.append("a", "b")
	a.append("c")
	epoch, seq, entries := a.read(first)
	for _, name := range []string{"$journal/eu-west-1/1", "$journal/eu-west-1/2"} {
		e, s, list := a.read(name)
		assert.Equal(t, []any{epoch, seq, entries}, []any{e, s, list}, name)
	}
	assert.Nil(t, a.item("$journal/eu-west-1/3"))
	assert.Equal(t, 3, a.Calls("TransactWriteItems"))
	assert.Zero(t, a.Calls("PutItem"))
}

func TestANewEpochWhenItIsNotKnownWhatChanged(t *testing.T) {
	a := newAccount(t)
	a.append("a")
	before, _, _ := a.read(first)
	a.append("b")
	same, _, _ := a.read(first)
	assert.Equal(t, before, same)

	require.NoError(t, a.writer.Renew(t.Context(), ""))
	renewed, seq, entries := a.read(first)
	assert.NotEqual(t, before, renewed)
	assert.Zero(t, seq)
	assert.Empty(t, entries)

	require.NoError(t, a.writer.Append(t.Context(), []change.Message{message("", "c"), {}, message("", "d")}))
	again, seq, entries := a.read(first)
	assert.NotEqual(t, renewed, again, "an empty message means that anything may have changed")
	assert.Equal(t, 2, seq)
	assert.Equal(t, []string{"c", "d"}, entries)
}

// AWS's client repeats a write if it gets no answer. The first attempt may reach the table last, after other writers
// have appended. If the journal then went back, followers would miss what is appended next.
func TestANewEpochIsNotWrittenAgainOverWhatFollowed(t *testing.T) {
	for _, copies := range []int{1, 2} {
		a := newAccount(t)
		a.writer.Copies = copies
		var again func() error
		a.Intercept(func(_ context.Context, _ string, in any) error {
			switch in := in.(type) {
			case *dynamodb.PutItemInput:
				again = func() error { _, err := a.DynamoDB.PutItem(t.Context(), in); return err }
			case *dynamodb.TransactWriteItemsInput:
				again = func() error { _, err := a.DynamoDB.TransactWriteItems(t.Context(), in); return err }
			default:
				return nil
			}
			a.Intercept(nil)
			return nil
		})
		a.append("a")
		a.append("b")
		require.Error(t, again())
		_, seq, entries := a.read(first)
		assert.Equal(t, 2, seq)
		assert.Equal(t, []string{"a", "b"}, entries)
	}
}

// repeated is a client that loses the answer to its first put and sends the put again, as AWS's client does.
type repeated struct {
	journal.WriteAPI
	done bool
}

func (c *repeated) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if !c.done {
		c.done = true
		if out, err := c.WriteAPI.PutItem(ctx, in, o...); err != nil {
			return out, err
		}
	}
	return c.WriteAPI.PutItem(ctx, in, o...)
}

func TestANewEpochThatIsWrittenTwiceLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.writer.Client = &repeated{WriteAPI: a.DynamoDB}
		a.append("a")
		before, seq, entries := a.read(first)
		assert.Equal(t, 2, seq)
		assert.Equal(t, []string{"a", "a"}, entries, "the second entry costs a read")

		s := &sink{}
		f := a.follow(s)
		poll(t, f, s)
		a.writer.Client = &repeated{WriteAPI: a.DynamoDB}
		require.NoError(t, a.writer.Renew(t.Context(), ""))
		after, seq, entries := a.read(first)
		assert.NotEqual(t, before, after)
		assert.Zero(t, seq)
		assert.Empty(t, entries)
		assert.Equal(t, []string{"*"}, poll(t, f, s))
	})
}

func TestABrokenItemIsReplacedByANewEpoch(t *testing.T) {
	for name, broken := range map[string]item{
		"no attributes":     {},
		"another type":      {"epoch": &types.AttributeValueMemberN{Value: "1"}},
		"invalid JSON":      {"epoch": str("e"), "seq": num("1"), "entries": str("[")},
		"an invalid number": {"epoch": str("e"), "seq": num("1.5"), "entries": str("[]")},
		"seq below entries": {"epoch": str("e"), "seq": num("0"), "entries": str(`[{"n":"a"}]`)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			broken["namespace"], broken["key"] = str(first), str(first)
			a.restore(broken)
			s := &sink{}
			err := a.follow(s).Refresh(t.Context())
			if len(broken) < 5 { // with all attributes, the first poll does not decode the entries
				require.ErrorContains(t, err, `follow journal "$journal/eu-west-1/0"`)
				assert.Empty(t, s.take())
			}
			a.append("a")
			epoch, seq, _ := a.read(first)
			assert.NotEqual(t, "e", epoch)
			assert.Equal(t, 1, seq)
		})
	}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

var errDown = errors.New("the table is down")

func TestOnePrefixDoesNotBlockOthers(t *testing.T) {
	a := newAccount(t)
	a.Intercept(func(_ context.Context, operation string, in any) error {
		if put, ok := in.(*dynamodb.PutItemInput); ok && strings.HasPrefix(text(put.Item["key"]), "bad:") {
			return errDown
		}
		return nil
	})
	err := a.writer.Append(t.Context(), []change.Message{message("bad", "a"), message("good", "b")})
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, `append to journal "bad:$journal/eu-west-1/0" in table "flags"`)
	_, _, entries := a.read("good:" + first)
	assert.Equal(t, []string{"b"}, entries)
}

func TestAppendReturnsTheTablesErrors(t *testing.T) {
	for _, operation := range []string{"GetItem", "PutItem"} {
		a := newAccount(t)
		a.Intercept(func(_ context.Context, o string, _ any) error {
			if o == operation {
				return errDown
			}
			return nil
		})
		require.ErrorIs(t, a.writer.Append(t.Context(), []change.Message{message("", "a")}), errDown)
		assert.Equal(t, 1, a.Calls(operation), "only the AWS client repeats a failed call")
	}
}

func TestAConflictIsRetriedUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		a.writer.Copies = 2
		a.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "TransactWriteItems" {
				return &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{
					{Code: aws.String("None")}, {Code: aws.String("TransactionConflict")}}}
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := a.writer.Append(ctx, []change.Message{message("", "a")})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var canceled *types.TransactionCanceledException
		assert.ErrorAs(t, err, &canceled)
		assert.Greater(t, a.Calls("TransactWriteItems"), 10)
		assert.Less(t, a.Calls("TransactWriteItems"), 100, "the pauses grow")
	})
}

func TestARefusedTransactionIsNotRepeated(t *testing.T) {
	a := newAccount(t)
	a.writer.Copies = 2
	a.Intercept(func(_ context.Context, operation string, _ any) error {
		if operation == "TransactWriteItems" {
			reasons := []types.CancellationReason{{Code: aws.String("ValidationError")}}
			return &types.TransactionCanceledException{CancellationReasons: reasons}
		}
		return nil
	})
	require.Error(t, a.writer.Append(t.Context(), []change.Message{message("", "a")}))
	assert.Equal(t, 1, a.Calls("TransactWriteItems"))
}

func TestAWriterReportsAllWrongFields(t *testing.T) {
	err := (&journal.Writer{Copies: 101}).Append(t.Context(), nil)
	for _, want := range []string{"Client", "Table", "Region", "Copies is 101: use 1 to 100"} {
		assert.ErrorContains(t, err, want)
	}
}
