package journal_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

// printer stands for a cache, such as a cachedstore.Store.
type printer struct{}

func (printer) Invalidate(changes ...change.Change) { fmt.Println("invalidate", changes[0].Key) }
func (printer) InvalidateAll()                      { fmt.Println("invalidate all") }

// A function whose invocations start fresh. In Lambda, the last step is lambda.Start(handler).
func ExampleFollow() {
	db := localaws.New() // in Lambda: dynamodb.NewFromConfig(cfg), shared with dynamostore
	db.CreateFlagTable("flags")
	writer := &journal.Writer{Client: db.DynamoDB, Table: "flags", Region: "eu-west-1"} // in streamhandler
	flipped := []change.Message{{Changes: []change.Change{{Kind: change.KindFeatures, Key: "checkout"}}}}
	fmt.Println(writer.Append(context.Background(), flipped))

	follower := journal.Follow("flags", printer{},
		journal.Client(db.DynamoDB), journal.Region("eu-west-1"), journal.Interval(1))
	handler := journal.Wrap(follower, func(_ context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	fmt.Println(handler(context.Background(), "Ada"))
	fmt.Println(writer.Append(context.Background(), flipped))
	payload, _ := lambda.NewHandler(handler).Invoke(context.Background(), []byte(`"Bob"`))
	fmt.Print(string(payload))
	// Output:
	// <nil>
	// invalidate all
	// hello Ada <nil>
	// <nil>
	// invalidate checkout
	// "hello Bob"
}
