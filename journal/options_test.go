package journal_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/journal"
)

func TestAFollowerReportsAllWrongOptions(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	f := journal.Follow("", nil, journal.Interval(-1), journal.Budget(-1), journal.ReconnectBudget(-1),
		journal.FlushBudget(0), journal.FlushInterval(0), journal.Copies(101), journal.Prefix("a\x00"))
	for range 2 {
		err := f.Refresh(t.Context())
		for _, want := range []string{
			"table's name is empty", "the sink is nil", "no AWS region", "Interval(-1ns)", "Budget(-1ns)",
			"ReconnectBudget(-1ns)", "FlushBudget(0s)", "FlushInterval(0s)", "Copies(101)",
			"characters that SNS refuses",
		} {
			assert.ErrorContains(t, err, want)
		}
	}
}

func TestTheDefaultRegionIsTheClients(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-2")
	name := func(options ...journal.Option) string {
		f := journal.Follow(table, &sink{}, append(options, journal.Logger(slog.New(slog.DiscardHandler)))...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := f.Refresh(ctx)
		require.Error(t, err)
		return err.Error()
	}
	client := dynamodb.New(dynamodb.Options{Region: "ap-south-1"})
	assert.Contains(t, name(journal.Client(client)), "$journal/ap-south-1/0")
	assert.Contains(t, name(journal.Client(client), journal.Region(region)), first)
	assert.Contains(t, name(journal.Client(failing{}), journal.Prefix("p")), "p:$journal/us-east-2/0")
}

type failing struct{}

func (failing) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	return nil, errors.New("fails")
}

// Without Client, the region and the credentials come from the environment variables of a Lambda function.
func TestTheDefaultClientUsesTheEnvironment(t *testing.T) {
	a := newAccount(t)
	server := httptest.NewServer(a.DynamoDB)
	t.Cleanup(server.Close)
	a.append("a")
	t.Setenv("AWS_REGION", region)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	s := &sink{}
	require.NoError(t, journal.Follow(table, s).Refresh(t.Context()))
	assert.Equal(t, []string{"*"}, s.take())
}
