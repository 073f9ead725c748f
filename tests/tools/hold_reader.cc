// Holds a read transaction of an LMDB file until standard input ends, as a process would that
// hangs:
//   hold_reader INDEX
// Says "ok" once it does.
#include <cerrno>
#include <cstdio>

#include <lmdb.h>

int main(int argc, char** argv) {
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  int rc = argc == 2 ? mdb_env_create(&env) : EINVAL;
  if (rc == 0) {
    rc = mdb_env_open(env, argv[1], MDB_NOSUBDIR | MDB_RDONLY | MDB_NOTLS, 0600);
  }
  if (rc == 0) {
    rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn);
  }
  if (rc != 0) {
    fprintf(stderr, "hold_reader: %s\n", mdb_strerror(rc));
    return 1;
  }
  puts("ok");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  mdb_txn_abort(txn);
  mdb_env_close(env);
  return 0;
}
