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

// cache stands for a cachedstore.Store.
var cache change.Sink = &sink{}

// A service listens until it is told to stop. When Run returns, queue and subscription are gone.
func ExampleQueue() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	changes := subscriber.Queue("arn:aws:sns:us-east-1:123456789012:flags", cache, subscriber.Prefix("production"))
	if err := changes.Run(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleEndpoint() {
	handler, err := subscriber.Endpoint("arn:aws:sns:us-east-1:123456789012:flags", cache, subscriber.Prefix("production"))
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/changes", handler)
}
