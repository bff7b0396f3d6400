/* How much energy a call may take so that calls keep to a power in the mean: tipsc/runtime/account.py. */
#ifndef TIPSC_ACCOUNT_H
#define TIPSC_ACCOUNT_H

typedef struct account {
    double least_mj, holds_mj;
    double left_mj; /* after the last call; below 0 where calls ran that nothing was left for */
} account;

/* Full; of paths whose calls take from `least_mj` to `most_mj`. */
void account_make(account *account, double least_mj, double most_mj);
/* What a call may take, so long after the last one. */
double account_cap(const account *account, double since_ms, double watts);
/* A call begins that takes so much. */
void account_spend(account *account, double since_ms, double watts, double energy_mj);

#endif
