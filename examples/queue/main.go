// Queue is the service with an SQS queue of its own: a change reaches it as soon as SNS delivers it, before the next
// poll. It needs the permissions of the stack's ReaderPolicy and SubscriberPolicy.
//
//	TABLE_NAME, PREFIX, LD_SDK_KEY, ADDRESS   as in ../service
//	TOPIC_ARN                                 the stack's topic
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/subscriber"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	flags, err := warmflags.Open(ctx, warmflags.AWSConfig(cfg))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Getenv("ADDRESS"))
	if err != nil {
		log.Fatal(err)
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		on, _ := flags.Client.BoolVariation("new-checkout", ldcontext.New(r.FormValue("user")), false)
		_, _ = fmt.Fprintln(w, on) //nolint:gosec // a bool is no script
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(serve)}
	go func() { log.Println(server.Serve(listener)) }()
	log.Println("listening on", listener.Addr())
	// Run creates a queue for this process and deletes it when ctx ends.
	topic, prefix := os.Getenv("TOPIC_ARN"), os.Getenv("PREFIX")
	queue := subscriber.Queue(topic, flags, subscriber.Prefix(prefix), subscriber.AWSConfig(cfg))
	if err := queue.Run(ctx); err != nil {
		log.Print(err)
	}
	_ = server.Close()
	_ = flags.Close(context.Background())
}
