package v4store_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/internal/proof/v4test/suite"
	"github.com/warmflags/warmflags/v4store"
	"github.com/warmflags/warmflags/v4store/internal/localv1"
)

// A store is go-client.v4's FeatureStore without a wrapper, also with other type arguments.
var (
	_ ld.FeatureStore                          = v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("t")
	_ v4store.FeatureStore[flagKind, *ld.Flag] = v4store.DynamoDB[flagKind, *ld.Flag]("t")
)

// flagKind is a kind whose items are not an interface type.
type flagKind struct{}

func (flagKind) GetNamespace() string { return "features" }
func (flagKind) GetDefaultItem() any  { return new(ld.Flag) }
func (flagKind) MakeDeletedItem(key string, version int) *ld.Flag {
	return &ld.Flag{Key: key, Version: version, Deleted: true}
}

func TestFeatureStoreSuite(t *testing.T) {
	for name, pageSize := range map[string]int{"one page": 1 << 20, "small pages": 500} {
		t.Run(name, func(t *testing.T) {
			suite.Run(t, func(*testing.T) suite.Table {
				return newSuiteTable(pageSize, func(s ld.FeatureStore) ld.FeatureStore { return s })
			})
		})
	}
}

func TestOtherTypes(t *testing.T) {
	w := newWorld()
	store := v4store.DynamoDB[flagKind, *ld.Flag](table, v4store.Client(w.client))
	require.NoError(t, store.Init(map[flagKind]map[string]*ld.Flag{{}: {"a": {Key: "a", Version: 1}}}))
	require.NoError(t, store.Delete(flagKind{}, "a", 2))
	require.NoError(t, store.Upsert(flagKind{}, &ld.Flag{Key: "b", Version: 1}))
	got, err := store.Get(flagKind{}, "a")
	require.NoError(t, err)
	assert.Nil(t, got)
	all, err := store.All(flagKind{})
	require.NoError(t, err)
	assert.Equal(t, map[string]*ld.Flag{"b": {Key: "b", Version: 1}}, all)

	// A kind with a wrong default item is a programming error. It returns an error and does not panic.
	_, err = v4store.DynamoDB[badKind, *ld.Flag](table, v4store.Client(w.client)).Get(badKind{}, "b")
	require.ErrorContains(t, err, "which does not implement Item")
}

type badKind struct{ flagKind }

func (badKind) GetDefaultItem() any { return new(ld.Segment) }

func TestRowsOfLaunchDarklysSchema(t *testing.T) {
	for prefix, namespace := range map[string]string{"": "features", "staging": "staging:features"} {
		w := newWorld()
		require.NoError(t, w.store(v4store.Prefix(prefix)).Init(flags("a:7")))
		marker := strings.Replace(namespace, "features", "$inited", 1)
		row := w.row(t, namespace, "a")
		assert.JSONEq(t, `{"key":"a","version":7,"on":false,"offVariation":null,"rules":null,
			"fallthrough":{"variation":null},"variations":null,"salt":"s","deleted":false}`,
			row["item"].(*types.AttributeValueMemberS).Value)
		delete(row, "item")
		assert.Equal(t, map[string]types.AttributeValue{"namespace": str(namespace), "key": str("a"),
			"version": num("7")}, row)
		assert.Equal(t, map[string]types.AttributeValue{"namespace": str(marker), "key": str(marker)},
			w.row(t, marker, marker))
	}
}

func TestCalls(t *testing.T) {
	w := newWorld()
	s := w.store()
	w.expect(t, nil, "creating a store makes no call")
	assert.False(t, s.Initialized())
	assert.False(t, s.Initialized())
	w.expect(t, calls{"GetItem": 2}, "while there is no marker")
	require.NoError(t, w.store().Init(flags("a:1")))
	w.expect(t, calls{"GetItem": 1, "Query": 2, "TransactWriteItems": 1}, "the first Init")
	assert.True(t, s.Initialized())
	assert.True(t, s.Initialized())
	w.expect(t, calls{"GetItem": 1}, "once true it stays true")

	other := w.store()
	require.NoError(t, other.Init(flags("a:1")))
	w.expect(t, calls{"GetItem": 1, "Query": 2}, "an unchanged environment")
	assert.True(t, other.Initialized())
	w.expect(t, nil, "after Init no call is needed")
	_, err := s.Get(ld.Features, "a")
	require.NoError(t, err)
	_, err = s.Get(ld.Features, "")
	require.NoError(t, err)
	w.expect(t, calls{"GetItem": 1}, "no call for an empty key")
	_, err = s.All(ld.Features)
	require.NoError(t, err)
	w.expect(t, calls{"Query": 1}, "All")
	require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 1}))
	require.NoError(t, s.Delete(ld.Features, "a", 2))
	w.expect(t, calls{"PutItem": 2}, "an upsert and a deletion")
}

func TestReadsAreStronglyConsistent(t *testing.T) {
	w := newWorld()
	reads := 0
	w.intercept(func(_ string, in any) error {
		switch in := in.(type) {
		case *v2.GetItemInput:
			reads++
			assert.True(t, aws.BoolValue(in.ConsistentRead))
		case *v2.QueryInput:
			reads++
			assert.True(t, aws.BoolValue(in.ConsistentRead))
		}
		return nil
	})
	s := w.store()
	require.NoError(t, s.Init(flags("a:1")))
	_, err := s.Get(ld.Features, "a")
	require.NoError(t, err)
	_, err = s.All(ld.Features)
	require.NoError(t, err)
	assert.Equal(t, 5, reads)
}

func TestBrokenRowsAreNamedAndOthersAreRead(t *testing.T) {
	for name, attributes := range map[string]map[string]types.AttributeValue{
		`attribute "item" is missing`:      {"version": num("1")},
		`attribute "item" is not a string`: {"version": num("1"), "item": num("2")},
		`attribute "item" is not its JSON`: {"version": num("1"), "item": str(`{"key":`)},
	} {
		t.Run(name, func(t *testing.T) {
			w, log := newWorld(), logged(t)
			s := w.store()
			require.NoError(t, s.Init(flags("good:1")))
			w.put(t, "features", "bad", attributes)

			_, err := s.Get(ld.Features, "bad")
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, `"features" "bad" of table "flags"`)
			all, err := s.All(ld.Features)
			require.NoError(t, err)
			assert.Len(t, all, 1)
			assert.Equal(t, v4store.TableStats{BrokenRows: 1}, s.Stats())
			assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
			assert.Contains(t, log.String(), "bad")
			_, broken, err := s.AllAndBroken(ld.Features)
			require.NoError(t, err)
			assert.Len(t, broken, 1)

			require.NoError(t, s.Init(flags("good:1", "bad:1")), "Init replaces it")
			_, err = s.Get(ld.Features, "bad")
			require.NoError(t, err)
			w.put(t, "features", "bad", attributes)
			require.NoError(t, s.Init(flags("good:1")), "or removes it")
			assert.Empty(t, w.row(t, "features", "bad"))
		})
	}
}

// LaunchDarkly's SDKs for Go, Node, Python, Ruby and C++ ignore a row's attribute "version" when they read it.
func TestRowsOfOtherWritersHaveTheVersionOfTheirJSON(t *testing.T) {
	for name, version := range map[string]types.AttributeValue{
		"a string": str("7"), "text": str("seven"), "a fraction": num("7.5"), "missing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			w, log := newWorld(), logged(t)
			s := w.store()
			require.NoError(t, s.Init(flags("a:7")))
			ours := w.row(t, "features", "a")
			attributes := map[string]types.AttributeValue{"item": ours["item"]}
			if version != nil {
				attributes["version"] = version
			}
			w.put(t, "features", "a", attributes)

			got, err := s.Get(ld.Features, "a")
			require.NoError(t, err)
			require.NotNil(t, got)
			assert.Equal(t, 7, got.GetVersion())
			all, broken, err := s.AllAndBroken(ld.Features)
			require.NoError(t, err)
			assert.Len(t, all, 1)
			assert.Empty(t, broken)
			assert.Empty(t, log.String())

			require.NoError(t, s.Init(flags("a:7")))
			assert.Equal(t, ours, w.row(t, "features", "a"), "it is never equal, so Init writes it")
			w.put(t, "features", "a", attributes)
			require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 8}))
			assert.Equal(t, num("8"), w.row(t, "features", "a")["version"])
			require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 7}))
			assert.Equal(t, num("8"), w.row(t, "features", "a")["version"], "an older version changes nothing")
		})
	}
}

// LaunchDarkly's stores for Java and .NET store only the version of a deleted item, and the text "null".
func TestTombstonesOfOtherLanguages(t *testing.T) {
	w, log := newWorld(), logged(t)
	s := w.store()
	require.NoError(t, s.Init(flags("a:1")))
	w.put(t, "features", "gone", map[string]types.AttributeValue{"version": num("5"), "item": str("null")})
	got, err := s.Get(ld.Features, "gone")
	require.NoError(t, err)
	assert.Nil(t, got)
	all, err := s.All(ld.Features)
	require.NoError(t, err)
	assert.Len(t, all, 1)
	require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "gone", Version: 5}))
	got, err = s.Get(ld.Features, "gone")
	require.NoError(t, err)
	assert.Nil(t, got, "the deletion is kept")
	assert.Empty(t, log.String())

	// A cache reads it once, although the message reports it as existing.
	now := time.Hour
	cache := v4store.Cached(s, v4store.CacheClock(func() (mono, wall time.Duration) { return now, now }))
	_, err = cache.Get(ld.Features, "gone")
	require.NoError(t, err)
	cache.Invalidate(change.Change{Kind: change.KindFeatures, Key: "gone", Version: 5})
	reads := w.cloud.Calls("GetItem")
	for range 60 {
		got, err = cache.Get(ld.Features, "gone")
		require.NoError(t, err)
		assert.Nil(t, got)
		now += time.Second
	}
	assert.Equal(t, 1, w.cloud.Calls("GetItem")-reads)
}

func TestRefusedItemsAreNamedAndCounted(t *testing.T) {
	w, log := newWorld(), logged(t)
	s := w.store()
	for key, reason := range map[string]string{
		"":                        "its key is empty",
		strings.Repeat("k", 1025): "its key has 1025 bytes",
	} {
		log.Reset()
		require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: key, Version: 1}))
		assert.Contains(t, log.String(), reason)
	}
	log.Reset()
	require.NoError(t, s.Upsert(ld.Features, &ld.Flag{Key: "big", Version: 1, Salt: strings.Repeat("x", 400*1024)}))
	assert.Contains(t, log.String(), "DynamoDB's limit is 409600")
	assert.Contains(t, log.String(), "key=big")
	assert.Equal(t, v4store.TableStats{RefusedItems: 3}, s.Stats())
	w.expect(t, nil, "none of them is tried")
}

func TestWrongOptions(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	for problem, s := range map[string]*v4store.Table[ld.VersionedDataKind, ld.VersionedData]{
		"option Client: is nil": v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("", v4store.Client(nil)),
		"set AWS_REGION":        v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData](""),
	} {
		_, getErr := s.Get(ld.Features, "a")
		_, allErr := s.All(ld.Features)
		for _, err := range []error{
			getErr, allErr, s.Init(flags("a:1")), s.Upsert(ld.Features, &ld.Flag{Key: "a"}),
			s.Delete(ld.Features, "a", 1),
		} {
			require.ErrorContains(t, err, problem)
			require.ErrorContains(t, err, "the table's name is empty", "all problems at once")
		}
		log := logged(t)
		assert.False(t, s.Initialized())
		assert.Contains(t, log.String(), problem)
	}
}

func TestErrorsNameTheTable(t *testing.T) {
	s := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("none",
		v4store.Client(localv1.New(localaws.New().DynamoDB)))
	_, err := s.Get(ld.Features, "a")
	require.ErrorContains(t, err, `read row "features" "a" of table "none"`)
	_, err = s.All(ld.Features)
	require.ErrorContains(t, err, `read namespace "features" of table "none"`)
	require.ErrorContains(t, s.Upsert(ld.Features, &ld.Flag{Key: "a"}), `upsert row "features" "a" of table "none"`)
	require.ErrorContains(t, s.Init(flags("a:1")), `table "none"`)
}

// The AWS SDK's own client does not retry writes, because the store retries them.
func TestAWSsClientDoesNotRetry(t *testing.T) {
	answers := make(chan string, 2)
	answers <- `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
		"message":"slow down"}`
	answers <- `{}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := <-answers
		if strings.Contains(answer, "__type") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	asked := &countingRetryer{}
	config := request.WithRetryer(aws.NewConfig().WithRegion("eu-west-1").WithEndpoint(server.URL), asked).
		WithCredentials(credentials.NewStaticCredentials("key", "secret", ""))
	db := dynamodb.New(session.Must(session.NewSession()), config)
	store := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData](table, v4store.Client(db))
	require.NoError(t, store.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 1}))
	assert.Empty(t, answers, "both responses were used")
	assert.Zero(t, asked.times.Load())
}

type countingRetryer struct {
	client.NoOpRetryer
	times atomic.Int64
}

func (c *countingRetryer) ShouldRetry(*request.Request) bool { c.times.Add(1); return false }
