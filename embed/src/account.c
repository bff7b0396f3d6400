#include "account.h"

static const double HELD = 16.0, SHARE = 0.125;

void account_make(account *account, double least_mj, double most_mj) {
    account->least_mj = least_mj;
    account->holds_mj = account->left_mj = HELD * most_mj;
}

/* A watt is a millijoule a millisecond. */
static double there(const account *account, double since_ms, double watts) {
    double there_mj = account->left_mj + watts * since_ms;
    return there_mj < account->holds_mj ? there_mj : account->holds_mj;
}

double account_cap(const account *account, double since_ms, double watts) {
    double there_mj = there(account, since_ms, watts), share = SHARE * there_mj;
    if (share >= account->least_mj) return share;
    if (there_mj >= account->least_mj) return account->least_mj;
    return there_mj > 0.0 ? there_mj : 0.0;
}

void account_spend(account *account, double since_ms, double watts, double energy_mj) {
    double left_mj = there(account, since_ms, watts) - energy_mj;
    account->left_mj = left_mj > -account->holds_mj ? left_mj : -account->holds_mj;
}
