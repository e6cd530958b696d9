package subscriber_test

import (
	"context"
	"log"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/subscriber"
)

// cache is a sink. Use a cachedstore.Store in its place.
var cache change.Sink = &sink{}

// A service receives changes until it gets SIGTERM. When Run returns, it has removed queue and subscription.
func ExampleQueue() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	changes := subscriber.Queue("arn:aws:sns:us-east-1:123456789012:flags", cache, subscriber.Prefix("production"))
	if err := changes.Run(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleEndpoint() {
	const topicARN = "arn:aws:sns:us-east-1:123456789012:flags"
	handler, err := subscriber.Endpoint(topicARN, cache, subscriber.Prefix("production"))
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/changes", handler)
}
