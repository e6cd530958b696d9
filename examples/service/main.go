// Service evaluates flags from memory. It polls the journal once a second, so it sees a change within a second. It
// needs dynamodb:GetItem and dynamodb:Query on the flag table, and no queue. It calls LaunchDarkly only to send events.
//
//	TABLE_NAME   the flag table
//	PREFIX       the LaunchDarkly environment in the table; empty if it has no prefix
//	LD_SDK_KEY   LaunchDarkly's SDK key, to send events; empty to send none
//	ADDRESS      the address to listen on
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
	<-ctx.Done()
	_ = server.Close()
	_ = flags.Close(context.Background())
}
