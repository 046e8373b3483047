-- Run once for each group, as a superuser. Replace the names: app_owner owns the objects, app_a and app_b are the
-- twins, handover_admin is the user that Handover logs in as.

-- The owner never logs in. Everything that the application owns or may do is owned by or granted to it, not to a twin.
CREATE ROLE app_owner NOLOGIN;

-- The twins have no password and may not log in until Handover sets one.
CREATE ROLE app_a NOLOGIN IN ROLE app_owner;
CREATE ROLE app_b NOLOGIN IN ROLE app_owner;

-- A session of either twin starts as the owner, so that what it creates belongs to the owner.
ALTER ROLE app_a SET role = app_owner;
ALTER ROLE app_b SET role = app_owner;

-- Handover's own user. Set its password with \password, which sends a verifier only.
CREATE ROLE handover_admin LOGIN CREATEROLE;

-- Only to end sessions of the old generation, when a deadline says so.
GRANT pg_signal_backend TO handover_admin;

-- From PostgreSQL 16 on, CREATEROLE alone may not change a role that somebody else created.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE 'GRANT app_a, app_b TO handover_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
    END IF;
END
$$;
