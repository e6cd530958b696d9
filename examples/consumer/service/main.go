// Service is a process that evaluates flags from memory, and hears of each change from a queue of its own.
//
//	TOPIC_ARN    the topic of the warmflags stack
//	FLAG_TABLE   the flag table
//	FLAG_PREFIX  the environment's prefix in it; may be empty
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/subscriber"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	prefix := os.Getenv("FLAG_PREFIX")
	store := cachedstore.New(dynamostore.DataStore(os.Getenv("FLAG_TABLE")).Prefix(prefix), cachedstore.TTL(time.Hour), cachedstore.Preload())
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore:  store,
		DataSource: ldcomponents.ExternalUpdatesOnly(), // daemon mode: flags come from the table only
		Events:     ldcomponents.NoEvents(),
	}, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{flag}", func(w http.ResponseWriter, r *http.Request) {
		on, err := client.BoolVariation(r.PathValue("flag"), ldcontext.New("somebody"), false)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, on) //nolint:gosec // a bool is no script
	})
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Second, Handler: mux}
	go func() { log.Println(server.ListenAndServe()) }()
	if err := subscriber.Queue(os.Getenv("TOPIC_ARN"), store, subscriber.Prefix(prefix)).Run(ctx); err != nil { // until a signal
		log.Println(err)
	}
	_ = server.Close()
	_ = client.Close()
}
