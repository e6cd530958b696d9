package storehistory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/storehistory"
)

const table = "flags"

// play plays a history in a bubble, through what around makes of the client. (dynamostore's own tests play hundreds,
// and show that faults planted in dynamostore are noticed.)
func play(t *testing.T, seed int,
	around func(dynamostore.API) dynamostore.API) (report storehistory.Report, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cloud := localaws.New()
		cloud.CreateFlagTable(table)
		report, err = storehistory.Run(t.Context(),
			storehistory.Options{Seed: uint64(seed), Client: around(cloud.DynamoDB), Table: table})
	})
	return report, err
}

func asItIs(api dynamostore.API) dynamostore.API { return api }

func TestASeedIsPlayedAlike(t *testing.T) {
	for seed := range 20 {
		first, err := play(t, seed, asItIs)
		require.NoError(t, err)
		second, err := play(t, seed, asItIs)
		require.NoError(t, err)
		assert.Equal(t, first, second, "seed %d", seed)
	}
}

// unconditional is a database that ignores the conditions of transactions.
type unconditional struct{ dynamostore.API }

func (u unconditional) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	for _, i := range in.TransactItems {
		if p := i.Put; p != nil {
			p.ConditionExpression, p.ExpressionAttributeNames, p.ExpressionAttributeValues = nil, nil, nil
		} else {
			d := i.Delete
			d.ConditionExpression, d.ExpressionAttributeNames, d.ExpressionAttributeValues = nil, nil, nil
		}
	}
	return u.API.TransactWriteItems(ctx, in, o...)
}

// forgetful is a database that reports success but writes nothing.
type forgetful struct{ dynamostore.API }

func (forgetful) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput,
	...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return &dynamodb.TransactWriteItemsOutput{}, nil
}

func TestBrokenDatabasesAreNoticed(t *testing.T) {
	for complaint, around := range map[string]func(dynamostore.API) dynamostore.API{
		"overwrote a newer row": func(api dynamostore.API) dynamostore.API { return unconditional{api} },
		"marked the table, but": func(api dynamostore.API) dynamostore.API { return forgetful{api} },
	} {
		noticed := 0
		for seed := range 40 {
			if _, err := play(t, seed, around); err != nil {
				assert.ErrorContains(t, err, fmt.Sprintf("seed %d, step ", seed))
				noticed += strings.Count(err.Error(), complaint)
			}
		}
		assert.NotZero(t, noticed, complaint)
	}
}

func ExampleRun() {
	cloud := localaws.New()
	cloud.CreateFlagTable(table)
	report, err := storehistory.Run(context.Background(),
		storehistory.Options{Seed: 1, Client: cloud.DynamoDB, Table: table, Prefix: "seed-1"})
	fmt.Println(report.Calls > 0, err)
	// Output: true <nil>
}
