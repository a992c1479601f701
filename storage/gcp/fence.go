package gcp

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"cloud.google.com/go/spanner"
	"cloud.google.com/go/spanner/apiv1/spannerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// fenced makes a client of which a transaction that sequences entries fails unless
// the row of the term is there, and unless it has as many entries as Batch says.
func (db *database) fenced(ctx context.Context, term uint64) (*spanner.Client, error) {
	return connect(ctx, db.Database, option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, c *grpc.ClientConn, next grpc.UnaryInvoker, o ...grpc.CallOption) error {
			if commit, ok := request.(*spannerpb.CommitRequest); ok {
				var err error
				if request, err = fence(commit, term, db.batch.Load()); err != nil {
					return err
				}
			}
			return next(ctx, method, request, reply, c, o...)
		})))
}

// fence adds to a commit that sequences entries an update of the writer's row.
//
// google.spanner.v1.Mutation: "Update existing rows in a table. If any of the rows
// does not already exist, the transaction fails with error NOT_FOUND."
func fence(commit *spannerpb.CommitRequest, term, batch uint64) (*spannerpb.CommitRequest, error) {
	var first, next int64 = -1, -1
	for _, m := range commit.Mutations {
		if w := m.GetInsert(); w.GetTable() == "Seq" {
			first = number(w, "seq")
		} else if w := m.GetUpdate(); w.GetTable() == "SeqCoord" {
			next = number(w, "next")
		}
	}
	if next < 0 {
		return commit, nil
	}
	if batch > 0 && first >= 0 && next != first+int64(batch) {
		return nil, status.Error(codes.FailedPrecondition, cloud.Divided)
	}
	commit = proto.CloneOf(commit)
	commit.Mutations = append(commit.Mutations, &spannerpb.Mutation{Operation: &spannerpb.Mutation_Update{Update: &spannerpb.Mutation_Write{
		Table: table, Columns: []string{"term", "fenced"},
		Values: []*structpb.ListValue{{Values: []*structpb.Value{structpb.NewStringValue(strconv.FormatUint(term, 10)), structpb.NewStringValue(strconv.FormatInt(next, 10))}}},
	}}})
	return commit, nil
}

// number is an INT64 in the one row of a mutation, which is a decimal string
// (google.spanner.v1.TypeCode); -1 where there is none.
func number(w *spannerpb.Mutation_Write, column string) int64 {
	i := slices.Index(w.Columns, column)
	if i < 0 || len(w.Values) != 1 || i >= len(w.Values[0].Values) {
		return -1
	}
	n, err := strconv.ParseInt(w.Values[0].Values[i].GetStringValue(), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// Guard implements [cloud.Database].
func (db *database) Guard(ctx context.Context, term uint64) error {
	if err := db.trial(ctx, term-1); spanner.ErrCode(err) != codes.NotFound {
		return db.Failed("a writer of term "+strconv.FormatUint(term-1, 10)+" is let pass", errors.Join(err, errors.ErrUnsupported))
	}
	return db.Failed("update SeqCoord", db.trial(ctx, term))
}

// trial updates SeqCoord as a writer of a term would, to what it is.
func (db *database) trial(ctx context.Context, term uint64) error {
	client, err := db.fenced(ctx, term)
	if err != nil {
		return err
	}
	defer client.Close()
	return write(ctx, client, func(ctx context.Context, tx *spanner.ReadWriteTransaction) error {
		row, err := tx.ReadRow(ctx, "SeqCoord", spanner.Key{0}, []string{"next"})
		var next int64
		if err == nil {
			err = row.Columns(&next)
		}
		if err != nil {
			return err
		}
		return tx.BufferWrite([]*spanner.Mutation{spanner.Update("SeqCoord", []string{"id", "next"}, []any{0, next})})
	})
}

// Batch implements [cloud.Database]. One process sequences, so it is in memory.
func (db *database) Batch(_ context.Context, _ uint64, n uint) error {
	db.batch.Store(uint64(n))
	return nil
}
