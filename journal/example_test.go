package journal_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

// printer is a sink that prints its calls. Use a cachedstore.Store in its place.
type printer struct{}

func (printer) Invalidate(changes ...change.Change) { fmt.Println("invalidate", changes[0].Key) }
func (printer) InvalidateAll()                      { fmt.Println("invalidate all") }

// Every invocation of this function starts with fresh flags. In Lambda, the last step is lambda.Start(handler).
func ExampleFollow() {
	db := localaws.New() // in Lambda: the dynamodb.Client that dynamostore uses too
	db.CreateFlagTable("flags")
	writer := &journal.Writer{Client: db.DynamoDB, Table: "flags", Region: "eu-west-1"} // streamhandler's writer
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
