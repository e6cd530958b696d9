package test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldtime"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/storetest"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/testenv"
	"github.com/warmflags/warmflags/test/emulator"
)

// LaunchDarkly's test suite for stores of big segments, on DynamoDB Local. (It forgets excluded segments in one place;
// dynamostore's own tests have them.)
func TestLaunchDarklyBigSegmentSuite(t *testing.T) {
	for name, prefix := range map[string]string{"no prefix": "", "prefix": "test"} {
		t.Run(name, func(t *testing.T) {
			table := newFlagTable(t)
			storetest.NewBigSegmentStoreTestSuite(
				func(string) subsystems.ComponentConfigurer[subsystems.BigSegmentStore] {
					return dynamostore.BigSegmentStore(table).Prefix(prefix).Client(emulator.DynamoDB())
				},
				func(string) error { return clearRows(t.Context(), table, prefix) },
				func(_ string, m subsystems.BigSegmentStoreMetadata) error {
					return putBigMetadata(t, table, prefix, m.LastUpToDate)
				},
				func(_, hash string, included, excluded []string) error {
					return putBigMembership(t, table, prefix, hash, included, excluded)
				},
			).Run(t)
		})
	}
}

// putBigMetadata and putBigMembership write as the Relay Proxy does.
func putBigMetadata(t *testing.T, table, prefix string, at ldtime.UnixMillisecondTime) error {
	marker := namespaceOf(prefix, "big_segments_metadata")
	return putRow(t, table, map[string]types.AttributeValue{
		"namespace": &types.AttributeValueMemberS{Value: marker}, "key": &types.AttributeValueMemberS{Value: marker},
		"synchronizedOn": &types.AttributeValueMemberN{Value: fmt.Sprint(uint64(at))},
	})
}

func putBigMembership(t *testing.T, table, prefix, hash string, included, excluded []string) error {
	row := map[string]types.AttributeValue{
		"namespace": &types.AttributeValueMemberS{
			Value: namespaceOf(prefix, "big_segments_user"),
		},
		"key": &types.AttributeValueMemberS{Value: hash},
	}
	for name, set := range map[string][]string{"included": included, "excluded": excluded} {
		if len(set) > 0 {
			row[name] = &types.AttributeValueMemberSS{Value: set}
		}
	}
	return putRow(t, table, row)
}

func namespaceOf(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + ":" + name
}

func putRow(t *testing.T, table string, row map[string]types.AttributeValue) error {
	_, err := emulator.DynamoDB().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: row})
	return err
}

// Both SDKs, each with its own store, read the same big segments from the table.
func TestPythonReadsTheSameBigSegments(t *testing.T) {
	var e testenv.Environment
	for _, one := range testenv.Small() {
		if one.Name == "big-segments" {
			e = one
		}
	}
	require.NotEmpty(t, e.Flags)
	for name, prefix := range map[string]string{"no prefix": "", "prefix": "prod"} {
		t.Run(name, func(t *testing.T) {
			table := newFlagTable(t)
			require.NoError(t, openStore(t, table, prefix).Init(e.Collections()))
			require.NoError(t, putBigMetadata(t, table, prefix, ldtime.UnixMillisFromTime(time.Now())))
			for key, sets := range map[string][2][]string{
				"alice": {{"big.g2", "big-or-staff.g1"}, nil},
				"bob":   {{"big.g1"}, {"big-or-staff.g1"}}, // of an older generation; excluded, in spite of the rule
				"acme":  {{"big-orgs.g1"}, {"big.g2"}},
				"carol": {{"big.g2"}, {"big.g2"}}, // inclusion takes precedence
			} {
				hash := sha256.Sum256([]byte(key))
				require.NoError(
					t,
					putBigMembership(t, table, prefix, base64.StdEncoding.EncodeToString(hash[:]), sets[0], sets[1]),
				)
			}
			contexts := testenv.Contexts()
			var theirs []state
			python(
				t,
				[]step{{"do": "state", "table": table, "prefix": prefix, "contexts": contexts, "bigSegments": true}},
				&theirs,
			)
			ours := goStates(t, table, prefix, contexts, true)
			same(t, "Python", e, ours, theirs, nil)
			in := map[string]bool{}
			for _, s := range ours {
				in[s["in-big"].(string)], in[s["in-big-orgs"].(string)] = true, true
			}
			require.Len(t, in, 2, "some users are in the segment and some are not")
		})
	}
}
