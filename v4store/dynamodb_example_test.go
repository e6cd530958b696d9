package v4store_test

import (
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/internal/proof/v4test/suite"
	"github.com/warmflags/warmflags/v4store"
	"github.com/warmflags/warmflags/v4store/internal/localv1"
)

// A cache over a table is go-client.v4's FeatureStore without a wrapper, a sink for every source of changes, and a
// change.Waker.
var (
	_ ld.FeatureStore = v4store.Cached(v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("t"))
	_ change.Sink     = (*v4store.Cache[ld.VersionedDataKind, ld.VersionedData])(nil)
	_ change.Waker    = (*v4store.Cache[ld.VersionedDataKind, ld.VersionedData])(nil)
)

// With TTL 0 a cache behaves like the table.
func TestFeatureStoreSuiteWithACache(t *testing.T) {
	logged(t) // discards the warnings about refused items
	suite.Run(t, func(*testing.T) suite.Table {
		return newSuiteTable(1<<20,
			func(s ld.FeatureStore) ld.FeatureStore { return v4store.Cached(s, v4store.TTL(0)) })
	})
}

// A store for go-client.v4 with a custom DynamoDB client, for example for another region or without retries.
func ExampleDynamoDB() {
	db := dynamodb.New(session.Must(session.NewSession()), aws.NewConfig().WithRegion("eu-west-1").WithMaxRetries(3))
	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("flags", v4store.Prefix("production"),
		v4store.Client(db))
	cache := v4store.Cached(table, v4store.TTL(time.Hour))
	_ = cache // config.FeatureStore = cache; config.UseLdd = true
}

// A deleted item does not exist for go-client.v4. Its row is kept, so that an older version cannot be written.
func ExampleTable_Delete() {
	cloud := localaws.New() // a program omits Client, to use the environment's AWS configuration
	cloud.CreateFlagTable("flags")
	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("flags",
		v4store.Client(localv1.New(cloud.DynamoDB)))
	if err := table.Upsert(ld.Features, &ld.Flag{Key: "checkout", Version: 3}); err != nil {
		log.Fatal(err)
	}
	if err := table.Delete(ld.Features, "checkout", 4); err != nil {
		log.Fatal(err)
	}
	late := table.Upsert(ld.Features, &ld.Flag{Key: "checkout", Version: 3})
	item, err := table.Get(ld.Features, "checkout")
	fmt.Println(late, item, err)
	// Output: <nil> <nil> <nil>
}
